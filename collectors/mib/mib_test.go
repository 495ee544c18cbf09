package mib

import (
	"os"
	"strings"
	"testing"

	"icewatch/test/peers"
)

func TestStandard(t *testing.T) {
	t.Parallel()
	n := Standard()
	for oid, want := range map[string]string{
		".1.3.6.1.6.3.1.1.5.3":     "linkDown",
		"1.3.6.1.2.1.2.2.1.2.17":   "ifDescr.17",
		"1.3.6.1.2.1.31.1.1.1.6.2": "ifHCInOctets.2",
		"1.3.6.1.4.1.99999.1":      "1.3.6.1.4.1.99999.1",
		"1.3.6.1.2.1.2.2.1.20.1":   "ifOutErrors.1",
		"":                         "",
	} {
		if got := n.Name(oid); got != want {
			t.Errorf("%s is %s, want %s", oid, got, want)
		}
	}
	if got := n.Word("1.3.6.1.2.1.2.2.1.8.3", 2); got != "down" {
		t.Errorf("ifOperStatus 2 is %q", got)
	}
	if got := n.Word("1.3.6.1.2.1.2.2.1.8.3", 99) + n.Word("1.3.6.1.2.1.2.2.1.2.3", 1); got != "" {
		t.Errorf("no word is %q", got)
	}
}

const module = `ACME-MIB DEFINITIONS ::= BEGIN
IMPORTS enterprises, MODULE-IDENTITY, OBJECT-TYPE FROM SNMPv2-SMI; -- of the vendor
acmeObjects OBJECT IDENTIFIER ::= { acme 1 }   -- before its parent
acme MODULE-IDENTITY
    LAST-UPDATED "202611260000Z"
    DESCRIPTION "not a definition: x OBJECT IDENTIFIER ::= { acme 9 }"
    ::= { enterprises 99999 }
acmeState OBJECT-TYPE
    SYNTAX INTEGER { ok(1), failed (2) } -- two -- MAX-ACCESS read-only
    DEFVAL { ok }
    ::= { acmeObjects 7 }
acmeDeep OBJECT IDENTIFIER ::= { iso org(3) dod(6) internet(1) private(4) enterprises(1) 99999 8 }
acmeDown NOTIFICATION-TYPE OBJECTS { acmeState } STATUS current ::= { acme 0 1 }
acmeOld TRAP-TYPE ENTERPRISE acme VARIABLES { acmeState } ::= 4
END`

func TestLoad(t *testing.T) {
	t.Parallel()
	n := Standard()
	if err := n.Load(module); err != nil {
		t.Fatal(err)
	}
	for oid, want := range map[string]string{
		"1.3.6.1.4.1.99999":       "acme",
		"1.3.6.1.4.1.99999.1.7.0": "acmeState.0",
		"1.3.6.1.4.1.99999.8":     "acmeDeep",
		"1.3.6.1.4.1.99999.0.1":   "acmeDown",
		"1.3.6.1.4.1.99999.0.4":   "acmeOld",
		"1.3.6.1.4.1.99999.9":     "acme.9",
	} {
		if got := n.Name(oid); got != want {
			t.Errorf("%s is %s, want %s", oid, got, want)
		}
	}
	if got := n.Word("1.3.6.1.4.1.99999.1.7.0", 2); got != "failed" {
		t.Errorf("acmeState 2 is %q", got)
	}
	for text, want := range map[string]string{
		"hello":                                 "mib: the texts define no object; ",
		"a OBJECT IDENTIFIER ::= { nowhere 1 }": "mib: 1 objects have a parent that no text defines, such as a below nowhere: add the module that defines nowhere",
		"a OBJECT IDENTIFIER ::= { b 1 } b OBJECT IDENTIFIER ::= { a 1 }": "mib: 2 objects have a parent",
	} {
		if err := Standard().Load(text); err == nil || !strings.HasPrefix(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// The modules that Net-SNMP comes with, by names that their own tools give.
func TestNetSNMP(t *testing.T) {
	t.Parallel()
	var texts []string
	for _, file := range []string{"NET-SNMP-MIB", "NET-SNMP-AGENT-MIB", "UCD-SNMP-MIB", "UCD-DISKIO-MIB"} {
		text, err := os.ReadFile("/usr/share/snmp/mibs/" + file + ".txt")
		if err != nil {
			peers.Missing(t, "the modules of Net-SNMP are not installed (libsnmp-base)")
		}
		texts = append(texts, string(text))
	}
	n := Standard()
	if err := n.Load(texts...); err != nil {
		t.Fatal(err)
	}
	for oid, want := range map[string]string{
		"1.3.6.1.4.1.2021.9.1.9.1":       "dskPercent.1",
		"1.3.6.1.4.1.2021.251.1":         "ucdStart",
		"1.3.6.1.4.1.2021.13.15.1.1.2.4": "diskIODevice.4",
		"1.3.6.1.4.1.8072.4.0.2":         "nsNotifyShutdown",
	} {
		if got := n.Name(oid); got != want {
			t.Errorf("%s is %s, want %s", oid, got, want)
		}
	}
	if got := n.Word("1.3.6.1.4.1.2021.2.1.100.1", 1); got != "" && got != "error" {
		t.Errorf("prErrorFlag 1 is %q", got)
	}
}

func FuzzLoad(f *testing.F) {
	f.Add(module)
	f.Add("a OBJECT-TYPE ::= { b(")
	f.Fuzz(func(t *testing.T, text string) {
		n := Standard()
		_ = n.Load(text)
		if n.Name("1.3.6.1.6.3.1.1.5.3") != "linkDown" {
			t.Fatal("a name built in has changed")
		}
	})
}
