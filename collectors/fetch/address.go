package fetch

import (
	"fmt"
	"net"
	"strconv"
	"strings"
)

// Address checks that s is host:port and returns it so. Where port is above 0,
// s may leave its port out.
func Address(s string, port int) (string, error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil && port > 0 && (!strings.Contains(s, ":") || net.ParseIP(s) != nil) {
		host, p, err = s, strconv.Itoa(port), nil
	}
	if n, e := strconv.Atoi(p); err != nil || host == "" || strings.ContainsAny(host, "/ \t\r\n@") || e != nil || n < 1 || n > 65535 {
		return "", fmt.Errorf("%q is not host:port with a port of 1 to 65535; an IPv6 address stands in brackets", s)
	}
	return net.JoinHostPort(host, p), nil
}
