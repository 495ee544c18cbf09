// Package backup keeps backups of a data folder, taken while the suite runs or
// stands still, and puts them back into an empty folder.
//
// A backup holds one consistent state of everything: of the lake the parts
// named by its own lists, linked aside while it runs; the engine's place on the
// bus noted before that; the database, copied page by page; and the bus, taken
// after them all, so that whatever the lake or the database hold is on it or
// was finished with before. The suite that starts on it reads the bus from the
// noted place and stores what the lake does not hold yet: a restore is the same
// as a start after a crash.
//
// Backups share what they have in common. Parts of the lake never change, so
// each is copied once and belongs to every later backup that still has it.
package backup

import (
	"errors"
	"fmt"
	"regexp"
	"time"
)

// Format is the version of the layout of a backup folder and its lists.
const Format = 1

var (
	// ErrNoRepository says that the folder holds no backups.
	ErrNoRepository = errors.New("there are no backups")
	// ErrNotFound says that there is no backup of the name.
	ErrNotFound = errors.New("there is no such backup")
	// ErrBusy says that another process works on the backup folder, or that
	// another job runs.
	ErrBusy = errors.New("another backup job is at work")
	// ErrFull says that the disk of the backup folder is full.
	ErrFull = errors.New("the disk of the backup folder is full")
	// ErrDamaged says that something in the backup folder is not what was
	// written there.
	ErrDamaged = errors.New("the backup is damaged")
	// ErrLocked says that the backup is encrypted and that no key was given, or
	// not the one that opens it.
	ErrLocked = errors.New("the backup is encrypted")
	// ErrName says that a name is none a backup can have.
	ErrName = errors.New("a backup is named by its time, such as 20261126T003000Z")
)

// nameLayout is the time.Format layout of a backup's name, which orders
// backups by age.
const nameLayout = "20060102T150405Z"

var namePattern = regexp.MustCompile(`^\d{8}T\d{6}Z$`)

// checkName refuses what could be a path.
func checkName(name string) error {
	if !namePattern.MatchString(name) {
		return fmt.Errorf("%w: %.60q", ErrName, name)
	}
	return nil
}

// Summary describes a backup.
type Summary struct {
	Format      int       `json:"format"`
	Name        string    `json:"name" doc:"Time of the start, which orders backups"`
	Started     time.Time `json:"started"`
	Finished    time.Time `json:"finished"`
	Version     string    `json:"version" doc:"Of the suite that took it"`
	Host        string    `json:"host"`
	Trigger     string    `json:"trigger" enum:"schedule,api,command"`
	By          string    `json:"by" doc:"User; empty for the schedule"`
	Bytes       int64     `json:"bytes" doc:"Of all files"`
	Files       int       `json:"files"`
	StoredBytes int64     `json:"stored_bytes" doc:"In the backup folder, packed; shared with other backups"`
	CopiedBytes int64     `json:"copied_bytes" doc:"Of the files that had to be copied for this backup; the others were there from an earlier one"`
	CopiedFiles int       `json:"copied_files"`
	Encrypted   bool      `json:"encrypted"`
	MasterKey   bool      `json:"master_key" doc:"Whether the master keys, which open the sealed secrets, are in it"`
	LeftOut     []string  `json:"left_out" nullable:"false" doc:"Files and folders of the data folder that are not in it, and what the suite keeps on other servers"`
	Bus         Place     `json:"bus"`
	Rows        uint64    `json:"rows" doc:"Events in the lake's files; later ones are on the bus"`
	Classes     []Class   `json:"classes" nullable:"false" doc:"The lake by retention class"`
	Tenants     []Tenant  `json:"tenants" nullable:"false" doc:"Events by tenant up to the start of the backup; empty where the suite stood still"`

	// ListSum is the SHA-256 of the list of what is in the backup.
	ListSum string `json:"list_sum"`

	// Of the last check; kept beside the backup, not in it.
	Verified time.Time `json:"verified,omitzero" doc:"Last check of all its files"`
	Damaged  []string  `json:"damaged,omitempty" doc:"What that check found"`
	// Fault says why the backup's own description cannot be read.
	Fault string `json:"fault,omitempty"`
}

// Place is where the bus and the engine stood.
type Place struct {
	Epoch    string `json:"epoch"`
	First    uint64 `json:"first" doc:"Oldest batch on the bus"`
	Last     uint64 `json:"last" doc:"Newest batch on the bus when its copy began"`
	Stored   uint64 `json:"stored" doc:"Batches up to this one are in the lake's files"`
	Detected uint64 `json:"detected" doc:"Batches up to this one have been through detection"`
}

// Class sums up a retention class of the lake.
type Class struct {
	Class string `json:"class"`
	Rows  uint64 `json:"rows"`
	Bytes int64  `json:"bytes"`
}

// Tenant counts a tenant's events.
type Tenant struct {
	Tenant string `json:"tenant"`
	Events uint64 `json:"events"`
}

// object is one file of the repository: some files of the backup, packed.
type object struct {
	Name   string `json:"name"`   // of the file below objects/
	From   string `json:"from"`   // backup that copied it
	ID     string `json:"id"`     // SHA-256 of the tar archive, before compression and encryption
	Stored int64  `json:"stored"` // bytes of the file as stored
	Sum    string `json:"sum"`    // SHA-256 of the file as stored
	Files  []file `json:"files"`
}

// file is one file of the backup.
type file struct {
	Path     string `json:"path"` // below the data folder, with slashes
	Size     int64  `json:"size"`
	Sum      string `json:"sum"`                // SHA-256
	Modified int64  `json:"modified,omitempty"` // Unix nanoseconds; only of files that never change
}

func (o *object) bytes() (n int64) {
	for i := range o.Files {
		n += o.Files[i].Size
	}
	return n
}
