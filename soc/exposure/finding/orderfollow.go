package finding

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/uptrace/bun"

	"icewatch/detections"
	"icewatch/soc/reach"
)

var stateWords = map[State]detections.Text{
	StateOpen: {ZH: "待处理", EN: "open"}, Verified: {ZH: "已核实", EN: "verified"}, Repair: {ZH: "整改中", EN: "in repair"}, Fixed: {ZH: "待复测", EN: "fixed, to be re-tested"},
	Closed: {ZH: "已关闭", EN: "closed"}, Exception: {ZH: "已列为例外", EN: "accepted as an exception"}, FalsePositive: {ZH: "误报", EN: "a false positive"},
}

// followOrders says on work orders what became of their findings: an order none of whose
// findings has yet to be repaired is done, and one that was done is open again when a
// finding came back that no other open order is of. Then other systems are told.
func (s *Service) followOrders(ctx context.Context) error {
	for {
		var ids []string
		err := s.db.NewSelect().TableExpr("exposure_finding_order_members AS m").Join("JOIN exposure_findings AS f ON f.id = m.finding").Join("JOIN exposure_finding_orders AS o ON o.id = m.order_id").
			ColumnExpr("DISTINCT m.order_id").Where("f.state <> m.said AND o.state <> ?", OrderWithdrawn).Limit(100).Scan(ctx, &ids)
		if err != nil {
			return fmt.Errorf("finding: follow work orders: %w", err)
		}
		if len(ids) == 0 {
			return s.tellOrders(ctx)
		}
		for _, id := range ids {
			if err := s.db.Change(ctx, func(ctx context.Context, tx bun.Tx) error { return s.followOrder(ctx, tx, id) }); err != nil {
				return err
			}
		}
	}
}

// maxSaid is how many findings one event names.
const maxSaid = 20

func (s *Service) followOrder(ctx context.Context, tx bun.Tx, id string) error {
	now := s.now()
	o, err := s.order(ctx, tx, reach.All(), id)
	if err != nil {
		return err
	}
	rows, err := s.members(ctx, tx, id)
	if err != nil {
		return err
	}
	var said []memberRow
	if err := tx.NewSelect().Model(&said).Where("m.order_id = ?", id).Scan(ctx); err != nil {
		return fmt.Errorf("finding: what %s knows: %w", id, err)
	}
	knew := map[string]State{}
	for _, m := range said {
		knew[m.Finding] = m.Said
	}
	changed := map[State][]string{}
	var back []string
	left := false
	for i := range rows {
		r := &rows[i]
		todo := slices.Contains(torepair, r.State)
		left = left || todo
		if knew[r.ID] == r.State {
			continue
		}
		f, err := r.unpack(now)
		if err != nil {
			return err
		}
		name := f.Weakness + " @ " + cmp.Or(f.Name, f.Host)
		if f.Port > 0 {
			name += ":" + strconv.Itoa(f.Port)
		}
		changed[r.State] = append(changed[r.State], name)
		if todo && !slices.Contains(torepair, knew[r.ID]) {
			back = append(back, r.ID)
		}
	}
	for _, state := range States {
		list := changed[state]
		if len(list) == 0 {
			continue
		}
		more := ""
		if n := len(list) - maxSaid; n > 0 {
			list, more = list[:maxSaid], " +"+strconv.Itoa(n)
		}
		w := stateWords[state]
		text := detections.Text{ZH: "隐患" + w.ZH + "：" + strings.Join(list, "、") + more, EN: "Findings are " + w.EN + ": " + strings.Join(list, ", ") + more}
		if err := say(ctx, tx, id, "icewatch", now, text, false); err != nil {
			return err
		}
	}
	switch {
	case o.State == OrderOpen && !left:
		o.State, o.EndedMs = OrderDone, now.UnixMilli()
		if err := say(ctx, tx, id, "icewatch", now, detections.Text{ZH: "没有待整改的隐患，工单完成", EN: "Done: none of its findings has yet to be repaired"}, false); err != nil {
			return err
		}
	case o.State == OrderDone && len(back) > 0:
		busy, err := tx.NewSelect().TableExpr("exposure_finding_order_members AS m").Join("JOIN exposure_finding_orders AS o ON o.id = m.order_id").
			Where("o.state = ? AND m.finding IN (?)", OrderOpen, bun.In(back)).Exists(ctx)
		if err != nil {
			return fmt.Errorf("finding: look for work orders: %w", err)
		}
		if busy {
			break
		}
		o.State, o.EndedMs, o.DoneChange, o.Note = OrderOpen, 0, "", ""
		if err := say(ctx, tx, id, "icewatch", now, detections.Text{ZH: "隐患重新出现，工单重新打开", EN: "Open again: findings came back"}, false); err != nil {
			return err
		}
	}
	return s.ended(ctx, tx, &o)
}

// tellOrders tells other systems what happened to the orders that they have.
func (s *Service) tellOrders(ctx context.Context) error {
	for {
		var list []FindingOrderEvent
		if err := s.db.NewSelect().Model(&list).Where("e.told = 0").OrderExpr("e.id").Limit(200).Scan(ctx); err != nil {
			return fmt.Errorf("finding: what other systems are to be told: %w", err)
		}
		for i := range list {
			e := &list[i]
			e.At, e.Text = when(e.AtMs), detections.Text{ZH: e.ZH, EN: e.EN}
			if s.TellOrder != nil {
				if err := s.TellOrder(ctx, *e); err != nil {
					return fmt.Errorf("finding: tell of %s: %w", e.Order, err)
				}
			}
			if _, err := s.db.NewUpdate().Model(e).Set("told = 1").WherePK().Exec(ctx); err != nil {
				return fmt.Errorf("finding: note that %s is told of: %w", e.Order, err)
			}
		}
		if len(list) < 200 {
			return nil
		}
	}
}
