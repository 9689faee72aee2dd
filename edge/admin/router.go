package admin

import (
	"net/http"
	"net/url"
	"strings"
)

// router finds what a path stands for. It splits the path as it was sent, so
// that a percent-encoded slash belongs to a name, and dots and empty parts mean
// nothing. What a path allows is decided later, so that a stranger learns of no
// path and everybody is answered in JSON.
type router []place

// place is a path with what may be done there.
type place struct {
	parts   []string // {name} stands for any part
	methods map[string]route
}

func newRouter(routes []route) router {
	var r router
	at := make(map[string]int)
	for _, one := range routes {
		i, known := at[one.path]
		if !known {
			i = len(r)
			at[one.path] = i
			r = append(r, place{strings.Split(one.path, "/"), make(map[string]route)})
		}
		r[i].methods[one.method] = one
	}
	return r
}

// isAPI reports whether a request is for the API.
func isAPI(r *http.Request) bool {
	p := r.URL.EscapedPath()
	return p == "/api" || strings.HasPrefix(p, "/api/")
}

// find gives what may be done at the path of a request, whose names it sets;
// nil is no path. A path may end with a slash, as with RabbitMQ.
func (r router) find(q *http.Request) map[string]route {
	parts := strings.Split(strings.TrimSuffix(q.URL.EscapedPath(), "/"), "/")
	for i, part := range parts {
		name, err := url.PathUnescape(part)
		if err != nil {
			return nil
		}
		parts[i] = name
	}
	for _, p := range r {
		if p.fits(parts) {
			for i, part := range p.parts {
				if name, ok := placeholder(part); ok {
					q.SetPathValue(name, parts[i])
				}
			}
			return p.methods
		}
	}
	return nil
}

func (p *place) fits(parts []string) bool {
	if len(parts) != len(p.parts) {
		return false
	}
	for i, part := range p.parts {
		if _, any := placeholder(part); part != parts[i] && (!any || parts[i] == "") {
			return false
		}
	}
	return true
}

// placeholder takes the braces off.
func placeholder(part string) (name string, ok bool) {
	return strings.CutSuffix(strings.TrimPrefix(part, "{"), "}")
}
