package admin

import (
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strconv"

	"leveret/amqp/broker"
)

// overview is the gateway at a glance, of what the caller sees.
func (s *Server) overview(q *request) (any, error) {
	st := s.o.Status()
	totals := map[string]int{"connections": 0, "channels": 0, "exchanges": 0, "queues": 0, "consumers": 0}
	for _, p := range s.o.Broker.Peers() {
		if q.who.owns(p.User) {
			totals["connections"]++
		}
	}
	for _, c := range s.o.Broker.Channels() {
		if q.who.owns(c.Conn.Identity().User) {
			totals["channels"]++
		}
	}
	for _, x := range s.o.Broker.Exchanges() {
		if q.who.sees(x.VHost) {
			totals["exchanges"]++
		}
	}
	core := s.o.Broker.Status()
	ready, unacked := 0, 0
	for _, one := range core.Queues {
		if q.who.sees(one.VHost) {
			totals["queues"]++
			totals["consumers"] += one.Consumers
			ready, unacked = ready+one.Ready, unacked+one.Unacked
		}
	}
	answer := map[string]any{
		"management_version": st.Version, "product_name": "leveret", "product_version": st.Version,
		"node": s.o.Node, "cluster_name": s.o.Node,
		"object_totals":  totals,
		"queue_totals":   map[string]int{"messages": ready + unacked, "messages_ready": ready, "messages_unacknowledged": unacked},
		"exchange_types": exchangeTypes(), "listeners": s.listeners(st),
	}
	if q.who.seesAll() {
		answer["message_stats"] = map[string]uint64{"publish": core.Published, "return_or_drop_unroutable": core.Unrouted}
	}
	return answer, nil
}

func exchangeTypes() (types []map[string]any) {
	for _, t := range broker.ExchangeTypes {
		types = append(types, map[string]any{"name": t, "enabled": true})
	}
	return types
}

// listeners are the doors in RabbitMQ's form.
func (s *Server) listeners(st Status) []map[string]any {
	list := []map[string]any{}
	for _, l := range st.Listeners {
		host, port := hostPort(l.Address)
		protocol := l.Door
		if protocol == "admin" {
			protocol = "http"
		}
		list = append(list, map[string]any{"node": s.o.Node, "protocol": protocol, "ip_address": host, "port": port})
	}
	return list
}

// whoami tells users their tags.
func (s *Server) whoami(q *request) (any, error) {
	return map[string]any{"name": q.who.user.Name, "tags": append([]string{}, q.who.user.Tags...)}, nil
}

// nodes are this one.
func (s *Server) nodes(*request) (any, error) { return []any{s.self()}, nil }

func (s *Server) node(q *request) (any, error) {
	if q.PathValue("name") != s.o.Node {
		return nil, errNotFound
	}
	return s.self(), nil
}

func (s *Server) self() map[string]any {
	st := s.o.Status()
	alarms := s.o.Alarms()
	return map[string]any{
		"name": s.o.Node, "type": "disc", "running": true, "os_pid": strconv.Itoa(os.Getpid()),
		"uptime": int64(st.Uptime * 1000), "processors": runtime.NumCPU(),
		"disk_free_alarm": slices.Contains(alarms, "disk"), "mem_alarm": slices.Contains(alarms, "memory"),
		"mem_used": residentBytes(), "applications": []any{map[string]string{"name": "leveret", "version": st.Version}},
		"being_drained": false, "partitions": []any{},
	}
}

// residentBytes is the memory that the runtime has from the system.
func residentBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.Sys - m.HeapReleased
}

// alarms answers 503 while publishers have to wait for a resource.
func (s *Server) alarms(*request) (any, error) {
	short := s.o.Alarms()
	if len(short) == 0 {
		return map[string]string{"status": "ok"}, nil
	}
	list := []map[string]string{}
	for _, resource := range short {
		list = append(list, map[string]string{"node": s.o.Node, "resource": resource})
	}
	return coded{503, map[string]any{"status": "failed", "reason": "There are alarms in effect", "alarms": list}}, nil
}

// vhosts are those that the caller sees.
func (s *Server) vhosts(q *request) (any, error) {
	return listed(q, s.vhostList(q.who))
}

func (s *Server) vhost(q *request) (any, error) {
	name, err := q.vhost(s)
	if err != nil {
		return nil, err
	}
	for _, v := range s.vhostList(q.who) {
		if v.Name == name {
			return v, nil
		}
	}
	return nil, errNotFound
}

type vhostView struct {
	Name         string            `json:"name"`
	Description  string            `json:"description"`
	Tags         []string          `json:"tags"`
	DefaultType  string            `json:"default_queue_type"`
	Tracing      bool              `json:"tracing"`
	Messages     int               `json:"messages"`
	Ready        int               `json:"messages_ready"`
	Unacked      int               `json:"messages_unacknowledged"`
	ClusterState map[string]string `json:"cluster_state"`
}

func (v *vhostView) title() string { return v.Name }

func (s *Server) vhostList(who caller) (list []*vhostView) {
	core := s.o.Broker.Status()
	for _, v := range core.VHosts {
		if !who.sees(v.Name) {
			continue
		}
		view := &vhostView{Name: v.Name, Tags: []string{}, DefaultType: "classic", ClusterState: map[string]string{s.o.Node: "running"}}
		for _, one := range core.Queues {
			if one.VHost == v.Name {
				view.Ready += one.Ready
				view.Unacked += one.Unacked
			}
		}
		view.Messages = view.Ready + view.Unacked
		list = append(list, view)
	}
	return list
}

// vhost is the vhost of the path, which must be one that the caller sees.
func (q *request) vhost(s *Server) (string, error) {
	name := q.PathValue("vhost")
	if !slices.Contains(s.o.Broker.VHosts(), name) {
		return "", errNotFound
	}
	if !q.who.sees(name) {
		return "", errNotYours
	}
	return name, nil
}

// within is vhost where the path may name none: ok tells what of all vhosts is
// asked for.
func (q *request) within(s *Server) (ok func(vhost string) bool, err error) {
	if q.PathValue("vhost") == "" {
		return q.who.sees, nil
	}
	name, err := q.vhost(s)
	return func(vhost string) bool { return vhost == name }, err
}

// hostPort takes an address apart; what is none is a host without a port.
func hostPort(address string) (host string, port int) {
	if ap, err := netip.ParseAddrPort(address); err == nil {
		return ap.Addr().Unmap().String(), int(ap.Port())
	}
	return address, 0
}
