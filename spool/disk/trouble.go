package disk

// Names of troubles, as they are told to the operator. An empty text says that
// a trouble is over.
const (
	troubleAside  = "spool set aside" // a folder failed and an empty one serves
	troubleTables = "spool repaired"  // files were repaired before the start
	troubleLost   = "spool lost"      // confirmed messages are not there
	troubleDamage = "spool damaged"   // something does not read back
	TroubleBudget = "spool budget"    // it is filling up
)

// tell gives a trouble to the operator, or to the log when nobody asked.
func (o *Options) tell(name, text string) {
	if o.Trouble != nil {
		o.Trouble(name, text)
	} else if text != "" {
		o.Log.Error("trouble", "name", name, "text", text)
	}
}

func (s *Store) tell(name, text string) { s.opts.tell(name, text) }
