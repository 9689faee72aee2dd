package broker

import (
	"fmt"

	"leveret/spool"
)

// Note is a small value that a part above the core keeps in the spool, beside
// the definitions. What it means is its owner's, who has a kind of its own and
// bounds how many there are.
type Note struct {
	Kind, Name string
	Value      []byte // nil takes the note away
}

// KeepNotes writes notes. The LSN says when they are on the disk.
func (b *Broker) KeepNotes(notes []Note) (spool.LSN, error) {
	batch := spool.Batch{Puts: make([]spool.Put, len(notes))}
	for i, n := range notes {
		batch.Puts[i].Key = definitionKey(kindNote, n.Kind, n.Name)
		if n.Value != nil {
			batch.Puts[i].Value = n.encode()
		}
	}
	lsn, err := b.log.Append(&batch)
	if err != nil {
		return 0, fmt.Errorf("keep notes: %w", err)
	}
	return lsn, nil
}

// TakeNotes gives the notes of a kind that were there at the start. They are
// given once: the core does not keep them in memory.
func (b *Broker) TakeNotes(kind string) (taken []Note) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var rest []Note
	for _, n := range b.notes {
		if n.Kind == kind {
			taken = append(taken, n)
		} else {
			rest = append(rest, n)
		}
	}
	b.notes = rest
	return taken
}

func (n *Note) encode() []byte {
	b := appendText([]byte{definitionVersion}, n.Kind)
	return append(appendText(b, n.Name), n.Value...)
}

func (r *recovery) note(value []byte) error {
	d := decode(value)
	n := Note{Kind: d.text(), Name: d.text()}
	n.Value = d.b
	if d.err == nil {
		r.b.notes = append(r.b.notes, n)
	}
	return d.err
}
