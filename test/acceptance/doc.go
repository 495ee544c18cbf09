// Package acceptance proves the suite from the outside: its tests build the
// real binaries, start them on free ports with a data folder of their own and
// speak to them as rsyslog, Elasticsearch's client, an analyst's icectl, an
// attacker and a browser would.
//
// Variables: ICEWATCH_BIN is a folder with the binaries, else they are built;
// ICEWATCH_RELEASE_DIR is a folder with release binaries, else those tests are
// skipped; ICEWATCH_CI=1 makes a missing peer (rsyslogd, logger, chromium,
// node, qemu) a failure where it is a skip otherwise; ICEWATCH_SEED repeats
// the random moments of a run.
package acceptance
