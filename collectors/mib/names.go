// Package mib gives the object identifiers of SNMP their names: those of the
// standard modules (SNMPv2-MIB, IF-MIB, ENTITY-MIB, HOST-RESOURCES-MIB and a few
// more) are built in, others come from the texts of MIB modules. It knows names
// and the words of enumerations, no syntax.
package mib

import (
	"strconv"
	"strings"
)

// Names are the names of objects. The zero value is of no use: see Standard.
type Names struct {
	byOID map[string]string // without a leading dot
	words map[string]map[int64]string
}

// Standard returns the names built in.
func Standard() *Names {
	n := &Names{byOID: make(map[string]string, 256), words: map[string]map[int64]string{}}
	for line := range strings.Lines(standard) {
		f := strings.Fields(line)
		if len(f) < 2 {
			continue
		}
		n.byOID[f[0]] = f[1]
		for _, w := range f[2:] {
			word, number, _ := strings.Cut(strings.TrimSuffix(w, ")"), "(")
			if v, err := strconv.ParseInt(number, 10, 64); err == nil {
				n.word(f[0], v, word)
			}
		}
	}
	return n
}

func (n *Names) word(oid string, value int64, word string) {
	if n.words[oid] == nil {
		n.words[oid] = map[int64]string{}
	}
	n.words[oid][value] = word
}

// Split finds the longest part of an identifier that has a name: the name of the
// object and what stands behind it, its instance. name is "" where no part of
// the identifier has one. A leading dot of oid does not matter.
func (n *Names) Split(oid string) (name, instance string) {
	oid = strings.TrimPrefix(oid, ".")
	for end := len(oid); end > 0; end = strings.LastIndexByte(oid[:end], '.') {
		if name, ok := n.byOID[oid[:end]]; ok {
			return name, strings.TrimPrefix(oid[end:], ".")
		}
	}
	return "", oid
}

// Name is the identifier's name with its instance, such as ifDescr.3; where it
// has none, the identifier itself.
func (n *Names) Name(oid string) string {
	name, instance := n.Split(oid)
	switch {
	case name == "":
		return instance
	case instance == "":
		return name
	}
	return name + "." + instance
}

// Word is what a number means where the object is an enumeration; "" where it
// is none.
func (n *Names) Word(oid string, value int64) string {
	oid = strings.TrimPrefix(oid, ".")
	for end := len(oid); end > 0; end = strings.LastIndexByte(oid[:end], '.') {
		if _, ok := n.byOID[oid[:end]]; ok {
			return n.words[oid[:end]][value]
		}
	}
	return ""
}

// Len is how many objects have names.
func (n *Names) Len() int { return len(n.byOID) }

// standard is the objects that monitoring meets most, from the RFCs 3418 (SNMPv2-MIB),
// 2863 (IF-MIB), 6933 (ENTITY-MIB), 2790 (HOST-RESOURCES-MIB), 4133, 4268, 4273 (BGP4-MIB),
// 4750 (OSPF-MIB), 4188 (BRIDGE-MIB), 1628 (UPS-MIB), and UCD-SNMP-MIB and
// NET-SNMP-AGENT-MIB of Net-SNMP. One a line: identifier, name, words of the enumeration.
const standard = `
1.3.6.1.2.1.1.1 sysDescr
1.3.6.1.2.1.1.2 sysObjectID
1.3.6.1.2.1.1.3 sysUpTime
1.3.6.1.2.1.1.4 sysContact
1.3.6.1.2.1.1.5 sysName
1.3.6.1.2.1.1.6 sysLocation
1.3.6.1.2.1.1.7 sysServices
1.3.6.1.2.1.2.1 ifNumber
1.3.6.1.2.1.2.2.1.1 ifIndex
1.3.6.1.2.1.2.2.1.2 ifDescr
1.3.6.1.2.1.2.2.1.3 ifType
1.3.6.1.2.1.2.2.1.4 ifMtu
1.3.6.1.2.1.2.2.1.5 ifSpeed
1.3.6.1.2.1.2.2.1.6 ifPhysAddress
1.3.6.1.2.1.2.2.1.7 ifAdminStatus up(1) down(2) testing(3)
1.3.6.1.2.1.2.2.1.8 ifOperStatus up(1) down(2) testing(3) unknown(4) dormant(5) notPresent(6) lowerLayerDown(7)
1.3.6.1.2.1.2.2.1.9 ifLastChange
1.3.6.1.2.1.2.2.1.10 ifInOctets
1.3.6.1.2.1.2.2.1.11 ifInUcastPkts
1.3.6.1.2.1.2.2.1.13 ifInDiscards
1.3.6.1.2.1.2.2.1.14 ifInErrors
1.3.6.1.2.1.2.2.1.16 ifOutOctets
1.3.6.1.2.1.2.2.1.17 ifOutUcastPkts
1.3.6.1.2.1.2.2.1.19 ifOutDiscards
1.3.6.1.2.1.2.2.1.20 ifOutErrors
1.3.6.1.2.1.31.1.1.1.1 ifName
1.3.6.1.2.1.31.1.1.1.6 ifHCInOctets
1.3.6.1.2.1.31.1.1.1.7 ifHCInUcastPkts
1.3.6.1.2.1.31.1.1.1.10 ifHCOutOctets
1.3.6.1.2.1.31.1.1.1.11 ifHCOutUcastPkts
1.3.6.1.2.1.31.1.1.1.15 ifHighSpeed
1.3.6.1.2.1.31.1.1.1.18 ifAlias
1.3.6.1.2.1.15 bgp
1.3.6.1.2.1.15.3.1.1 bgpPeerIdentifier
1.3.6.1.2.1.15.3.1.2 bgpPeerState idle(1) connect(2) active(3) opensent(4) openconfirm(5) established(6)
1.3.6.1.2.1.15.3.1.7 bgpPeerRemoteAddr
1.3.6.1.2.1.15.3.1.9 bgpPeerRemoteAs
1.3.6.1.2.1.15.3.1.14 bgpPeerLastError
1.3.6.1.2.1.15.0.1 bgpEstablishedNotification
1.3.6.1.2.1.15.0.2 bgpBackwardTransNotification
1.3.6.1.2.1.15.7.1 bgpEstablished
1.3.6.1.2.1.15.7.2 bgpBackwardTransition
1.3.6.1.2.1.14.1.1 ospfRouterId
1.3.6.1.2.1.14.10.1.1 ospfNbrIpAddr
1.3.6.1.2.1.14.10.1.3 ospfNbrRtrId
1.3.6.1.2.1.14.10.1.6 ospfNbrState down(1) attempt(2) init(3) twoWay(4) exchangeStart(5) exchange(6) loading(7) full(8)
1.3.6.1.2.1.14.16.2.1 ospfVirtIfStateChange
1.3.6.1.2.1.14.16.2.2 ospfNbrStateChange
1.3.6.1.2.1.14.16.2.3 ospfVirtNbrStateChange
1.3.6.1.2.1.14.16.2.6 ospfIfAuthFailure
1.3.6.1.2.1.14.16.2.16 ospfIfStateChange
1.3.6.1.2.1.17.0.1 newRoot
1.3.6.1.2.1.17.0.2 topologyChange
1.3.6.1.2.1.25.1.1 hrSystemUptime
1.3.6.1.2.1.25.1.5 hrSystemNumUsers
1.3.6.1.2.1.25.1.6 hrSystemProcesses
1.3.6.1.2.1.25.2.2 hrMemorySize
1.3.6.1.2.1.25.2.3.1.1 hrStorageIndex
1.3.6.1.2.1.25.2.3.1.2 hrStorageType
1.3.6.1.2.1.25.2.3.1.3 hrStorageDescr
1.3.6.1.2.1.25.2.3.1.4 hrStorageAllocationUnits
1.3.6.1.2.1.25.2.3.1.5 hrStorageSize
1.3.6.1.2.1.25.2.3.1.6 hrStorageUsed
1.3.6.1.2.1.25.3.3.1.2 hrProcessorLoad
1.3.6.1.2.1.33.1.2.1 upsBatteryStatus unknown(1) batteryNormal(2) batteryLow(3) batteryDepleted(4)
1.3.6.1.2.1.33.1.2.2 upsSecondsOnBattery
1.3.6.1.2.1.33.1.2.3 upsEstimatedMinutesRemaining
1.3.6.1.2.1.33.2.1 upsTrapOnBattery
1.3.6.1.2.1.33.2.2 upsTrapTestCompleted
1.3.6.1.2.1.33.2.3 upsTrapAlarmEntryAdded
1.3.6.1.2.1.33.2.4 upsTrapAlarmEntryRemoved
1.3.6.1.2.1.47.1.1.1.1.2 entPhysicalDescr
1.3.6.1.2.1.47.1.1.1.1.7 entPhysicalName
1.3.6.1.2.1.47.2.0.1 entConfigChange
1.3.6.1.2.1.80.0.1 pingProbeFailed
1.3.6.1.2.1.80.0.2 pingTestFailed
1.3.6.1.2.1.80.0.3 pingTestCompleted
1.3.6.1.2.1.99.1.1.1.4 entPhySensorValue
1.3.6.1.2.1.131.0.1 entStateOperEnabled
1.3.6.1.2.1.131.0.2 entStateOperDisabled
1.3.6.1.6.3.1.1.4.1 snmpTrapOID
1.3.6.1.6.3.1.1.4.3 snmpTrapEnterprise
1.3.6.1.6.3.1.1.5.1 coldStart
1.3.6.1.6.3.1.1.5.2 warmStart
1.3.6.1.6.3.1.1.5.3 linkDown
1.3.6.1.6.3.1.1.5.4 linkUp
1.3.6.1.6.3.1.1.5.5 authenticationFailure
1.3.6.1.6.3.1.1.5.6 egpNeighborLoss
1.3.6.1.6.3.18.1.3 snmpTrapAddress
1.3.6.1.6.3.18.1.4 snmpTrapCommunity
1.3.6.1.4.1.2021.4.3 memTotalSwap
1.3.6.1.4.1.2021.4.4 memAvailSwap
1.3.6.1.4.1.2021.4.5 memTotalReal
1.3.6.1.4.1.2021.4.6 memAvailReal
1.3.6.1.4.1.2021.4.14 memBuffer
1.3.6.1.4.1.2021.4.15 memCached
1.3.6.1.4.1.2021.10.1.2 laNames
1.3.6.1.4.1.2021.10.1.3 laLoad
1.3.6.1.4.1.2021.10.1.5 laLoadInt
1.3.6.1.4.1.2021.11.50 ssCpuRawUser
1.3.6.1.4.1.2021.11.51 ssCpuRawNice
1.3.6.1.4.1.2021.11.52 ssCpuRawSystem
1.3.6.1.4.1.2021.11.53 ssCpuRawIdle
1.3.6.1.4.1.2021.11.54 ssCpuRawWait
1.3.6.1.4.1.8072.3.2.10 linux
1.3.6.1.4.1.8072.4.0.1 nsNotifyStart
1.3.6.1.4.1.8072.4.0.2 nsNotifyShutdown
1.3.6.1.4.1.8072.4.0.3 nsNotifyRestart
`
