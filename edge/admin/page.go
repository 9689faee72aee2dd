package admin

import (
	"bytes"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
)

// Bounds of a page, as RabbitMQ has them.
const (
	pageSizeDefault = 100
	pageSizeMax     = 500
)

// page is part of a list.
type page struct {
	Filtered int `json:"filtered_count"`
	Count    int `json:"item_count"`
	Items    any `json:"items"`
	Page     int `json:"page"`
	Pages    int `json:"page_count"`
	Size     int `json:"page_size"`
	Total    int `json:"total_count"`
}

// view is an item of a list.
type view interface {
	title() string // what the item is looked for by
}

// listed is the answer with a list: all of it, or the page that is asked for
// (page, page_size), of those only that have the text name in their name. With
// columns an item has only those fields. show completes the items that are sent.
func listed[V view](q *request, views []V, show ...func(view)) (any, error) {
	list := make([]view, len(views))
	for i, v := range views {
		list[i] = v
	}
	return paged(q, list, show)
}

func paged(q *request, list []view, show []func(view)) (any, error) {
	want := q.URL.Query()
	columns := want.Get("columns")
	if !want.Has("page") {
		return pruned(list, columns, show)
	}
	number, err := positive(want.Get("page"), 1, math.MaxInt32)
	size, err2 := positive(want.Get("page_size"), pageSizeDefault, pageSizeMax)
	if err != nil || err2 != nil {
		return nil, badRequest("page and page_size are numbers from 1, page_size at most 500")
	}
	p := page{Page: number, Size: size, Total: len(list)}
	if text := want.Get("name"); text != "" {
		var some []view
		for _, one := range list {
			if strings.Contains(one.title(), text) {
				some = append(some, one)
			}
		}
		list = some
	}
	p.Filtered, p.Pages = len(list), max(1, (len(list)+size-1)/size)
	if number > p.Pages {
		return nil, &answer{http.StatusBadRequest, "page_out_of_range", "Page out of range, page count: " + strconv.Itoa(p.Pages)}
	}
	list = list[min(len(list), (number-1)*size):min(len(list), number*size)]
	p.Count = len(list)
	p.Items, err = pruned(list, columns, show)
	return p, err
}

// positive reads a number from 1 to most; "" is the default.
func positive(text string, fallback, most int) (int, error) {
	if text == "" {
		return fallback, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 || n > most {
		return 0, strconv.ErrRange
	}
	return n, nil
}

// pruned leaves of each item only some fields, named with commas between them.
func pruned(list []view, columns string, show []func(view)) (any, error) {
	for _, one := range list {
		for _, complete := range show {
			complete(one)
		}
	}
	if columns == "" {
		return list, nil
	}
	some := make([]any, len(list))
	for i := range list {
		var err error
		if some[i], err = fields(list[i], strings.Split(columns, ",")); err != nil {
			return nil, err
		}
	}
	return some, nil
}

// fields are some fields of an item; one of an object in it is named with a dot
// (queue.name).
func fields(item view, names []string) (map[string]any, error) {
	text, err := json.Marshal(item)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	in := json.NewDecoder(bytes.NewReader(text))
	in.UseNumber()
	if err := in.Decode(&all); err != nil {
		return nil, err
	}
	some := make(map[string]any)
	for _, name := range names {
		keep(some, all, name)
	}
	return some, nil
}

// keep takes a field over, if it is there.
func keep(to, from map[string]any, path string) {
	name, rest, deeper := strings.Cut(path, ".")
	v, ok := from[name]
	if !ok {
		return
	}
	inner, isObject := v.(map[string]any)
	if !deeper || !isObject {
		to[name] = v
		return
	}
	some, ok := to[name].(map[string]any)
	if !ok {
		some = make(map[string]any)
		to[name] = some
	}
	keep(some, inner, rest)
}
