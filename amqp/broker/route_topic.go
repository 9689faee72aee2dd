package broker

import (
	"strings"

	"leveret/amqp"
)

// topicRoutes is a trie over the words of binding keys. Words are split at
// '.'; "*" is exactly one word, "#" is none or more (0-9-1, section 3.1.3.3).
// An empty routing key has no words at all, so that "#" matches it and "*"
// does not, as in RabbitMQ; "a..b" has an empty word in the middle.
//
// A key is matched by walking all branches at once, word by word, so the cost
// is bounded by the words times the nodes that are alive, whatever patterns
// somebody bound; trying one way after the other would take a time exponential
// in the number of "#".
type topicRoutes struct {
	root  topicNode
	round uint64 // numbers the steps, see topicNode.reached

	alive, next []*topicNode // scratch of match
}

type topicNode struct {
	children map[string]*topicNode
	here     []*binding
	hash     bool   // this node stands behind a "#": it may swallow any word
	reached  uint64 // the round in which the node was last reached
}

func splitKey(key string, into []string) []string {
	if key == "" {
		return into
	}
	for {
		i := strings.IndexByte(key, '.')
		if i < 0 {
			return append(into, key)
		}
		into = append(into, key[:i])
		key = key[i+1:]
	}
}

func (r *topicRoutes) add(b *binding) {
	n := &r.root
	for _, word := range splitKey(b.key, nil) {
		child := n.children[word]
		if child == nil {
			if n.children == nil {
				n.children = make(map[string]*topicNode)
			}
			child = &topicNode{hash: word == "#"}
			n.children[word] = child
		}
		n = child
	}
	n.here = append(n.here, b)
}

func (r *topicRoutes) remove(b *binding) { r.root.remove(b, splitKey(b.key, nil)) }

// remove takes b out below n and drops the branches that become empty.
func (n *topicNode) remove(b *binding, words []string) {
	if len(words) == 0 {
		n.here = without(n.here, b)
		return
	}
	child := n.children[words[0]]
	if child == nil {
		return
	}
	child.remove(b, words[1:])
	if len(child.here) == 0 && len(child.children) == 0 {
		delete(n.children, words[0])
	}
}

func (r *topicRoutes) match(key string, _ amqp.Properties, found []*binding) []*binding {
	var buf [16]string
	words := splitKey(key, buf[:0])
	r.alive, r.next = r.alive[:0], r.next[:0]
	r.round++
	r.reach(&r.root)
	for _, word := range words {
		r.alive, r.next = r.next, r.alive[:0]
		r.round++
		for _, n := range r.alive {
			r.step(n, word)
		}
	}
	for _, n := range r.next {
		found = append(found, n.here...)
	}
	return found
}

// step goes from n over one word.
func (r *topicRoutes) step(n *topicNode, word string) {
	if n.hash {
		r.reach(n)
	}
	if len(n.children) == 0 {
		return
	}
	if child := n.children["*"]; child != nil {
		r.reach(child)
	}
	if child := n.children[word]; child != nil && word != "*" && word != "#" {
		r.reach(child)
	}
}

// reach makes n alive, and what stands behind a "#" below it, which may be no
// word at all.
func (r *topicRoutes) reach(n *topicNode) {
	for n != nil && n.reached != r.round {
		n.reached = r.round
		r.next = append(r.next, n)
		n = n.children["#"]
	}
}
