package admin

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Bounds of a page, as RabbitMQ has them.
const (
	pageSizeDefault = 100
	pageSizeMax     = 500
)

// page is part of a list.
type page[T any] struct {
	Filtered int `json:"filtered_count"`
	Count    int `json:"item_count"`
	Items    any `json:"items"`
	Page     int `json:"page"`
	Pages    int `json:"page_count"`
	Size     int `json:"page_size"`
	Total    int `json:"total_count"`
}

// listed is the answer with a list: all of it, or the page that is asked for
// (page, page_size), of those only that have the text name in their name. With
// columns an item has only those fields. show completes the items that are sent.
func listed[T any](q *request, list []T, name func(*T) string, show ...func(*T)) (any, error) {
	if list == nil {
		list = []T{}
	}
	want := q.URL.Query()
	columns := want.Get("columns")
	if !want.Has("page") {
		return pruned(list, columns, show)
	}
	number, err := positive(want.Get("page"), 1, len(list)+1)
	size, err2 := positive(want.Get("page_size"), pageSizeDefault, pageSizeMax)
	if err != nil || err2 != nil {
		return nil, badRequest("page and page_size are numbers from 1, page_size at most 500")
	}
	p := page[T]{Page: number, Size: size, Total: len(list)}
	if text := want.Get("name"); text != "" {
		var some []T
		for i := range list {
			if strings.Contains(name(&list[i]), text) {
				some = append(some, list[i])
			}
		}
		list = some
	}
	p.Filtered, p.Pages = len(list), max(1, (len(list)+size-1)/size)
	if number > p.Pages {
		return nil, badRequest("page is out of range, page count: " + strconv.Itoa(p.Pages))
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
func pruned[T any](list []T, columns string, show []func(*T)) (any, error) {
	for i := range list {
		for _, complete := range show {
			complete(&list[i])
		}
	}
	if columns == "" {
		if list == nil {
			list = []T{}
		}
		return list, nil
	}
	some := make([]map[string]json.RawMessage, len(list))
	for i := range list {
		text, err := json.Marshal(list[i])
		if err != nil {
			return nil, err
		}
		var all map[string]json.RawMessage
		if err := json.Unmarshal(text, &all); err != nil {
			return nil, err
		}
		some[i] = make(map[string]json.RawMessage)
		for _, c := range strings.Split(columns, ",") {
			if v, ok := all[c]; ok {
				some[i][c] = v
			}
		}
	}
	return some, nil
}
