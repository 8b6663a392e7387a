package main

import "github.com/spf13/cobra"

func membersCommand(a *app) *cobra.Command {
	show := func(out *printer, m *membersAnswer) error {
		showMembers(out, m.Members, m.Time)
		return nil
	}
	cmd := asking(a, "members", "Lists the other nodes", "api/members", nil, show)
	cmd.Long = aboutMembers
	return cmd
}

func showMembers(out *printer, members []memberInfo, now string) {
	if len(members) == 0 {
		out.line(plain, "No other node is known.")
		return
	}
	t := &table{columns: []string{
		"NODE", "ADDRESS", "LINK", "ENCRYPTED", "SYNCED", ">LAG", ">SILENT", ">LACKING", ">CLOCK",
		">RTT", ">P50", ">P99", "SINCE",
	}}
	for _, m := range members {
		link := "direct"
		if !m.Direct {
			link = "relayed"
		}
		p := m.Peer
		if p == nil {
			t.add(m.ID, orDash(m.Addr), link, "-", "-", "-", "-", "-", "-", "-", "-", "-", ago(m.Since, now))
			continue
		}
		lacking := yesNo(p.Behind)
		if p.Late > 0 {
			lacking = span(p.Late)
		}
		t.add(m.ID, orDash(m.Addr), link, yesNo(m.Encrypted), yesNo(p.Synced), maybeSpan(p.Lag),
			span(p.Silent), lacking, maybeSpan(p.ClockOffset), maybeSpan(p.RoundTrip),
			maybeSpan(p.PropagationP50), maybeSpan(p.PropagationP99), ago(m.Since, now))
	}
	out.table(t)
}
