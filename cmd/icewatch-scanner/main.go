// Command icewatch-scanner looks for services and weaknesses in the ranges that are approved for it.
package main

import (
	nuclei "github.com/projectdiscovery/nuclei/v3/lib"
)

func main() {
	_, _ = nuclei.NewNucleiEngine()
}
