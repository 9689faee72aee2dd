package mqtt

import (
	"testing"

	"leveret/amqp/broker"
	"leveret/bridge/mqttwire"
)

// A client id belongs to the user that began its session, for as long as that
// lives: connected, away, and over a power cut.
func TestClientIDOfAnotherUser(t *testing.T) {
	anna := login("anna", "right")
	for _, v := range []mqttwire.Version{mqttwire.V31, mqttwire.V311, mqttwire.V5} {
		onStage(t, nil, func(s *stage) {
			refused := "CONNACK client identifier not valid"
			mine := s.joined(mqttwire.V5, "c", anna, with(mqttwire.SessionExpiry, 60))
			mine.listens("a", 1)
			s.connect(v, "c", login("ben", "right")).expect(refused, "closed")
			s.connect(v, "c").expect(refused, "closed") // nor an anonymous one
			mine.expect()                               // it was not disturbed
			mine.drop()
			s.connect(v, "c", login("ben", "right")).expect(refused, "closed")
			s.cutPower(nil)
			s.connect(v, "c", login("ben", "right")).expect(refused, "closed")
			s.connect(v, "c", login("ben", "right"), keep).expect(refused, "closed")
			p := s.joined(v, "p")
			p.publish("a", "x", 1, 1)
			back := s.joined5(t, "c", anna)
			back.expect("PUBLISH a=x q1 #1")
			back.drop()
			// Once it has ended the id is free.
			s.joined(mqttwire.V5, "c", anna).bye()
			s.joined(v, "c", login("ben", "right")).bye()
		})
	}
}

// An anonymous client's session is anybody's, and then the user's.
func TestClientIDOfNobody(t *testing.T) {
	onStage(t, nil, func(s *stage) {
		s.joined(mqttwire.V5, "c", with(mqttwire.SessionExpiry, 60)).drop()
		s.joined5(t, "c", login("anna", "right")).drop()
		s.connect(mqttwire.V5, "c").expect("CONNACK client identifier not valid", "closed")
	})
}

func TestAnyTakesOver(t *testing.T) {
	onStage(t, func(o *Options) { o.AnyTakesOver = true }, func(s *stage) {
		old := s.joined(mqttwire.V5, "c", login("anna", "right"), with(mqttwire.SessionExpiry, 60))
		s.joined5(t, "c", login("ben", "right")).drop()
		old.expect("DISCONNECT session taken over", "closed")
		s.joined5(t, "c", login("anna", "right"))
	})
}

func TestClientIDForAnotherUser(t *testing.T) {
	rule := func(l Login) (string, broker.Access, error) {
		if l.Client != l.User {
			return l.User, nil, ErrClientID
		}
		return l.User, nil, nil
	}
	onStage(t, func(o *Options) { o.Authenticate = rule }, func(s *stage) {
		s.connect(mqttwire.V5, "ben", login("anna", "")).expect("CONNACK client identifier not valid", "closed")
		s.connect(mqttwire.V311, "ben", login("anna", "")).expect("CONNACK client identifier not valid", "closed")
		s.connect(mqttwire.V5, "", login("anna", "")).expect("CONNACK client identifier not valid", "closed")
		s.joined(mqttwire.V5, "anna", login("anna", ""))
	})
}

// Clients are sent elsewhere in the words that their version has, and only those
// who would have been let in learn where that is.
func TestRedirect(t *testing.T) {
	server, moved := "", false
	onStage(t, func(o *Options) {
		o.Redirect = func() (string, bool) { return server, moved }
	}, func(s *stage) {
		s.joined(mqttwire.V5, "before")
		server = "broker2.example:8883"
		for reason, forGood := range map[string]bool{"use another server": false, "server moved": true} {
			moved = forGood
			c := s.connect(mqttwire.V5, "c", with(mqttwire.RequestProblemInformation, 0))
			c.whole = true
			c.expect("CONNACK "+reason+" [server reference broker2.example:8883]", "closed")
			c = s.connect(mqttwire.V5, "c")
			c.whole = true
			c.expect("CONNACK "+reason+" [server reference broker2.example:8883] [reason string clients are served by broker2.example:8883]", "closed")
			s.connect(mqttwire.V311, "c").expect("CONNACK server unavailable", "closed")
			c = s.connect(mqttwire.V5, "c", login("anna", "wrong"))
			c.whole = true
			c.expect("CONNACK bad user name or password [reason string wrong user name or password]", "closed")
		}
		server = ""
		s.joined(mqttwire.V5, "after")
	})
}
