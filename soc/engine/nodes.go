package engine

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"icewatch/soc/condition"
	"icewatch/soc/lake"
	"icewatch/soc/lake/partition"
	"icewatch/soc/lake/remote"
	"icewatch/soc/node"
	"icewatch/soc/search"
)

// LakeNode is a server that holds rows of the lake.
type LakeNode struct {
	Class string // whose rows it holds; "" are those of all classes without a node of their own
	node.Options
}

// settle is settle, again and again while a server is down. Meanwhile it answers
// that searches wait for it.
func (h *healed) settle(ctx context.Context, o Options, dir string, log *slog.Logger) ([]lake.Class, error) {
	list, err := settle(ctx, o, dir, log)
	if !errors.Is(err, search.ErrUnavailable) {
		return list, err
	}
	stop, werr := serveWaiting(o.QuerySocket, h.board)
	if werr != nil {
		return nil, errors.Join(err, werr)
	}
	defer stop()
	log.Warn("engine: it waits for the servers that hold the lake", "error", err)
	for errors.Is(err, search.ErrUnavailable) {
		tellServers(h.board, map[string]string{"nodes": err.Error()})
		select {
		case <-time.After(time.Second):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
		list, err = settle(ctx, o, dir, log)
	}
	tellServers(h.board, nil)
	return list, err
}

// tellServers raises a condition for each server that is down, and clears those
// of the others.
func tellServers(board *condition.Board, down map[string]string) {
	const lake = "lake/" // the metric lake tells of its own
	for _, c := range board.List() {
		name, ours := strings.CutPrefix(c.Key, lake)
		if _, stands := down[name]; c.Kind == condition.ServerDown && ours && !stands {
			board.Clear(c.Kind, c.Key)
		}
	}
	for name, why := range down {
		board.Set(condition.Condition{Kind: condition.ServerDown, Key: lake + name, Severity: condition.High,
			Text: condition.Text{ZH: "存储服务器未响应：" + why, EN: "a server of the lake is down: " + why}})
	}
}

// settle says where the rows of each retention class lie: below dir, or on the
// servers that the options name.
func settle(ctx context.Context, o Options, dir string, log *slog.Logger) ([]lake.Class, error) {
	if len(o.LakeNodes) == 0 {
		return classes(o.Keeping, dir, log), nil
	}
	// What this machine held before stays where it is and is read as well.
	held := partition.Classes(dir)
	for i := range o.Keeping.Classes {
		name := o.Keeping.Classes[i].Name
		if here := "here-" + name; slices.Contains(held, name) && !slices.Contains(held, here) {
			log.Info("engine: rows are kept by servers from now on; those of this machine stay readable and are not deleted", "class", name, "folder", here)
			if err := os.Rename(filepath.Join(dir, name), filepath.Join(dir, here)); err != nil {
				return nil, fmt.Errorf("the rows that this machine held before: %w", err)
			}
		}
	}
	list := classes(o.Keeping, dir, log)
	type group struct {
		nodes   []node.Options
		longest time.Duration
		classes []int
	}
	groups := map[string]*group{}
	for i := range o.Keeping.Classes {
		c := &list[i]
		key := c.Name
		if !slices.ContainsFunc(o.LakeNodes, func(n LakeNode) bool { return n.Class == key }) {
			key = ""
		}
		g := groups[key]
		if g == nil {
			g = &group{}
			for _, n := range o.LakeNodes {
				if n.Class == key {
					g.nodes = append(g.nodes, n.Options)
				}
			}
			groups[key] = g
		}
		g.classes = append(g.classes, i)
		g.longest = max(g.longest, c.Retention)
	}
	var opened []*remote.Backend
	for _, g := range groups {
		b, err := remote.Open(ctx, remote.Options{Nodes: g.nodes, Retention: g.longest, Log: log})
		if err != nil {
			for _, b := range opened {
				b.Close()
			}
			return nil, err
		}
		opened = append(opened, b)
		for _, i := range g.classes {
			list[i].Backend = b
		}
	}
	return list, nil
}
