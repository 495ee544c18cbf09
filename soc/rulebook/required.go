package rulebook

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// approvalFile holds whether rules are changed by approval only.
const approvalFile = "approval.json"

type approvalSetting struct {
	Required     bool `json:"required"`
	Suppressions bool `json:"suppressions"` // these too
}

func (b *Book) readApproval() error {
	data, err := os.ReadFile(filepath.Join(b.dir, approvalFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var set approvalSetting
	if err == nil {
		err = json.Unmarshal(data, &set)
	}
	if err != nil {
		return fmt.Errorf("rulebook: whether rules are changed by approval only cannot be read: %s: %w", filepath.Join(b.dir, approvalFile), err)
	}
	b.required.Store(set.Required)
	b.requiredToo.Store(set.Suppressions)
	return nil
}

// ApprovalRequired tells whether own rules are changed by proposals only. The
// book itself does not enforce it: whoever takes in changes asks.
func (b *Book) ApprovalRequired() bool { return b.required.Load() }

// SuppressionsRequired tells whether suppressions are changed by proposals only, too.
func (b *Book) SuppressionsRequired() bool { return b.required.Load() && b.requiredToo.Load() }

// RequireApproval says whether own rules, and suppressions too, are changed by
// proposals only.
func (b *Book) RequireApproval(on, suppressions bool) error {
	data, err := json.Marshal(approvalSetting{on, suppressions})
	if err != nil {
		return fmt.Errorf("rulebook: %w", err)
	}
	if err := replaceFile(filepath.Join(b.dir, approvalFile), append(data, '\n')); err != nil {
		return err
	}
	b.required.Store(on)
	b.requiredToo.Store(suppressions)
	return nil
}
