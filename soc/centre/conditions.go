package centre

import (
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"icewatch/soc/bus"
	"icewatch/soc/condition"
	"icewatch/soc/damage"
	"icewatch/soc/engine"
	"icewatch/soc/retention"
	"icewatch/soc/supervisor"
)

// damaged is the folder of what was found damaged.
func (c *centre) damaged() string { return filepath.Join(c.Config.Data, "damaged") }

// mortal are the engine's options together with how the engine before it
// died, which is asked for at each start.
type mortal struct {
	engine.Options
	last    func() supervisor.Death
	keeping func() *retention.Policy
}

// MarshalJSON implements json.Marshaler.
func (m mortal) MarshalJSON() ([]byte, error) {
	o, d := m.Options, m.last()
	o.Died, o.DiedInRow = d.Words, d.InRow
	o.Keeping = *m.keeping()
	return json.Marshal(o)
}

// conditions gathers what is wrong with the suite at the moment: by the
// engine's own word, by the centre's, and by the notes of what was set aside.
func (c *centre) conditions(ctx context.Context) []condition.Condition {
	list := slices.Concat(c.wrong.List(), damage.Conditions(c.damaged()))
	if st, err := c.gauge.status(ctx); err == nil {
		list = append(list, st.Conditions...)
	}
	return list
}

// watchDisks looks after the centre's own disks, the bus and the engine's life
// until ctx ends.
func (c *centre) watchDisks(ctx context.Context) {
	tick := time.NewTicker(2 * time.Second)
	defer tick.Stop()
	for {
		for _, d := range []struct{ name, zh, en string }{
			{"state", "状态库", "state"}, {"bus", "总线", "bus"}, {"aside", "超长原文", "texts kept aside"},
		} {
			c.watchDisk(filepath.Join(c.Config.Data, d.name), d.zh, d.en)
		}
		c.watchBus()
		c.watchEngine(ctx)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// readOnlyFlag is statfs's word for a file system mounted read-only.
const readOnlyFlag = 1

func (c *centre) watchDisk(dir, zh, en string) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		c.raise(condition.ReadOnly, dir, fmt.Sprintf("%s目录无法访问（%s）：%v", zh, dir, err), fmt.Sprintf("the folder of the %s, %s, cannot be reached: %v", en, dir, err))
		return
	}
	if st.Flags&readOnlyFlag != 0 {
		c.raise(condition.ReadOnly, dir, fmt.Sprintf("%s所在磁盘只读（%s）：请检查磁盘与挂载选项", zh, dir), fmt.Sprintf("the disk of the %s is read-only (%s): look at the disk and how it is mounted", en, dir))
	} else {
		c.over(condition.ReadOnly, dir)
	}
	free := int64(st.Bavail) * int64(st.Bsize)
	if least := max(int64(c.Config.Bus.MinFree), bus.LeastFree); free < least {
		c.raise(condition.DiskFull, dir, fmt.Sprintf("%s所在磁盘空间不足（%s 仅剩 %d MiB，需保留 %d MiB）", zh, dir, free>>20, least>>20),
			fmt.Sprintf("the disk of the %s is full: %d MiB are free on %s and %d MiB are to be left free", en, free>>20, dir, least>>20))
	} else {
		c.over(condition.DiskFull, dir)
	}
}

// watchBus tells of a bus that refuses what comes in.
func (c *centre) watchBus() {
	const key = "bus"
	if st := c.publisher.Stats(); st.Failing != "" {
		c.raise(condition.DiskFull, key, "总线拒绝写入，接收已暂停；已确认的数据没有丢失："+st.Failing, "the bus refuses what comes in, and senders are told to send again; nothing acknowledged is lost: "+st.Failing)
	} else {
		c.over(condition.DiskFull, key)
	}
}

// watchEngine tells of an engine that does not stay up, with its last words.
func (c *centre) watchEngine(ctx context.Context) {
	const key = "supervisor"
	d := c.super.Last()
	if st, err := c.gauge.status(ctx); err == nil && (st.Ready || st.Waiting) || d.InRow < 2 {
		c.over(condition.EngineDown, key)
		return
	}
	why := d.Err
	for line := range strings.Lines(d.Words) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "panic: ") || strings.HasPrefix(line, "fatal error: ") {
			why = line
			break
		}
		if said, ok := strings.CutPrefix(line, "icewatch: "); ok {
			why = said // the error that the engine ended with
		}
	}
	c.raise(condition.EngineDown, key, fmt.Sprintf("引擎连续 %d 次启动后退出，最后一次运行了 %s：%s", d.InRow, d.Lasted.Round(time.Millisecond), why),
		fmt.Sprintf("the engine ended %d times in a row, the last time after %s: %s", d.InRow, d.Lasted.Round(time.Millisecond), why))
}

func (c *centre) raise(kind, key, zh, en string) {
	if c.wrong.Set(condition.Condition{Kind: kind, Key: key, Severity: condition.Critical, Text: condition.Text{ZH: zh, EN: en}}) {
		c.log.Error("condition: " + en)
	}
}

func (c *centre) over(kind, key string) {
	if c.wrong.Clear(kind, key) {
		c.log.Info("condition: it is over", "kind", kind, "key", key)
	}
}
