//go:build !linux

package metrics

// system knows only Linux.
func (w *Writer) system() {}
