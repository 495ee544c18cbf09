package veil

import (
	"strings"
	"time"
)

// checks tells whether a text that a pattern found passes a further test.
func checks(name, s string) bool {
	switch name {
	case Luhn:
		return luhn(s)
	case IDCard:
		return idCard(s)
	}
	return true
}

// luhn tests the check digit of ISO/IEC 7812, past spaces and dashes.
func luhn(s string) bool {
	sum, n := 0, 0
	for i := len(s) - 1; i >= 0; i-- {
		c := s[i]
		if c == ' ' || c == '-' {
			continue
		}
		if c < '0' || c > '9' {
			return false
		}
		d := int(c - '0')
		if n%2 == 1 {
			if d *= 2; d > 9 {
				d -= 9
			}
		}
		sum += d
		n++
	}
	return n >= 12 && sum%10 == 0
}

// idCard tests a resident identity number by GB 11643: its birthday and the
// check digit by ISO 7064 MOD 11-2.
func idCard(s string) bool {
	s = strings.ToUpper(s)
	if len(s) != 18 {
		return false
	}
	if _, err := time.Parse("20060102", s[6:14]); err != nil {
		return false
	}
	sum := 0
	for i := range 17 {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
		weight := 1
		for range 17 - i {
			weight = weight * 2 % 11
		}
		sum += int(s[i]-'0') * weight
	}
	return "10X98765432"[sum%11] == s[17]
}
