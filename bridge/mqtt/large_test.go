package mqtt

import (
	"strings"
	"testing"
	"testing/synctest"

	"leveret/bridge/mqttwire"
)

// TestMessagesTooLargeForTheSpool: what the spool can never take is not waited
// with. MQTT 5 has an answer for it; before that the connection ends, as it does for
// whatever is refused, and what follows goes through.
func TestMessagesTooLargeForTheSpool(t *testing.T) {
	for _, tc := range []struct {
		v    mqttwire.Version
		qos  byte
		want []string
	}{
		{mqttwire.V5, 1, []string{"PUBACK 1", "PUBACK 2 quota exceeded", "PUBACK 3"}},
		{mqttwire.V5, 2, []string{"PUBREC 1", "PUBREC 2 quota exceeded", "PUBREC 3"}},
		{mqttwire.V311, 1, []string{"PUBACK 1", "closed"}},
		{mqttwire.V311, 2, []string{"PUBREC 1", "closed"}},
	} {
		onStage(t, nil, func(s *stage) {
			s.absent("archive", "#")
			c := s.joined(tc.v, "sensor")
			s.log.SetMost(1000)
			for i, size := range []int{10, 2000, 10} {
				c.publish("plant/1", strings.Repeat("x", size), tc.qos, uint16(i+1))
				synctest.Wait()
			}
			c.expect(tc.want...)
			if n := s.door.Stats().Rejected; n != 1 {
				t.Errorf("%d messages are counted as refused, want 1", n)
			}
		})
	}
}
