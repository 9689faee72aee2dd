package mqtt

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// conformance says which test holds the door to which normative statement of
// MQTT 5.0, as far as it is about servers. Names without a package are of this
// one; "conversation" is TestStatements.
const conformance = `
1.5.4-1   TestMalformedPackets              text that is no UTF-8
1.5.4-2   TestMalformedPackets              U+0000
1.5.4-3   conversation
1.5.5-1   mqttwire.TestPacketsAreAppended   variable integers are as short as can be
1.5.7-1   TestMalformedPackets              both texts of a pair
2.1.3-1   TestMalformedPackets              reserved flags
2.2.1-2   mqttwire.TestPacketsAreAppended   no identifier with QoS 0
2.2.1-3   TestMalformedPackets              identifier 0
2.2.1-4   TestExactlyOnceKeepsToTheWindow   an identifier in use is not used again
2.2.1-5   TestExactlyOnceIn                 answers have the identifier
2.2.1-6   TestOverlappingSubscriptions
2.2.2-1   mqttwire.TestPacketsAreAppended   an empty list of properties
3.1.0-1   TestHostileStrangers              the first packet is CONNECT
3.1.0-2   TestHostileClients                and the only one
3.1.2-1   TestHostileStrangers              the protocol's name
3.1.2-2   TestHostileStrangers              and version
3.1.2-3   TestMalformedPackets              the reserved flag
3.1.2-4   TestSessionPresent                clean start
3.1.2-5   TestSessionPresent                the session goes on
3.1.2-6   TestSessionPresent                or begins
3.1.2-7   TestDelayedWill                   a will that is stored
3.1.2-8   TestWill                          when it is sent
3.1.2-8   conversation
3.1.2-10  conversation
3.1.2-11  TestMalformedPackets              QoS of no will
3.1.2-12  TestMalformedPackets              QoS 3 of a will
3.1.2-13  TestMalformedPackets              retain flag of no will
3.1.2-14  TestWill
3.1.2-15  TestWillHasItsPropertiesAndIsRetained
3.1.2-17  TestMalformedPackets              flags and no user name
3.1.2-19  TestMalformedPackets              or password
3.1.2-21  TestConnect                       server keep alive
3.1.2-22  TestKeepAlive                     one and a half
3.1.2-23  TestSessionSurvivesAPowerCut
3.1.2-23  conversation
3.1.2-24  TestMaximumPacketSizeOfSubscribers
3.1.2-24  conversation
3.1.2-25  conversation
3.1.2-26  TestOutgoingTopicAliasesAreBounded
3.1.2-27  TestTopicAlias                    none to who did not ask
3.1.2-28  conversation
3.1.2-29  conversation
3.1.2-30  TestConnect                       enhanced authentication is refused
3.1.3-1   TestMalformedPackets              what CONNECT has, and its order
3.1.3-3   TestMalformedPackets              an identifier that is not there
3.1.3-4   TestMalformedPackets              or no text
3.1.3-5   TestConnect
3.1.3-6   TestConnect                       an empty one
3.1.3-7   TestConnect                       gets ours
3.1.3-8   TestConnect                       or is refused
3.1.3-9   conversation
3.1.3-10  TestWillHasItsPropertiesAndIsRetained
3.1.3-11  TestMalformedPackets              the will's topic
3.1.3-12  TestMalformedPackets              the user name
3.1.4-1   TestMalformedPackets              a CONNECT that is wrong
3.1.4-3   TestTakeOver
3.1.4-4   TestTakeOver                      a clean start at it
3.1.4-5   TestConnect
3.1.4-6   conversation
3.2.0-1   TestPingresponseComesAfterConnack
3.2.2-2   TestSessionPresent
3.2.2-3   TestSessionPresent
3.2.2-6   conversation
3.2.2-7   TestConnect                       refused and closed
3.2.2-8   mqttwire.TestReturnCodes
3.2.2-9   TestQoSMax                        maximum QoS is told
3.2.2-10  TestQoSMax                        and any may be asked for
3.2.2-12  TestQoSMax                        a will above it
3.2.2-16  TestConnect
3.2.2-19  conversation
3.3.1-1   TestRedelivery
3.3.1-2   TestMalformedPackets              DUP of QoS 0
3.3.1-3   conversation
3.3.1-4   TestMalformedPackets              QoS 3
3.3.1-5   TestRetainHandling
3.3.1-6   TestEmptyRetainedMessageDeletes
3.3.1-7   conversation
3.3.1-8   conversation
3.3.1-9   TestRetainHandling
3.3.1-10  conversation
3.3.1-11  TestRetainHandling
3.3.1-12  TestRetainFlagOfLiveMessages
3.3.1-12  conversation
3.3.1-13  TestRetainFlagOfLiveMessages
3.3.2-2   TestMalformedPackets              wildcards in a topic
3.3.2-3   TestOverlappingSubscriptions
3.3.2-4   TestMappingFromMQTT               payload format; that it is true is not looked at, as may be
3.3.2-5   TestMessageExpiry
3.3.2-6   TestMessageExpiry
3.3.2-7   conversation
3.3.2-8   TestOutgoingTopicAliases
3.3.2-10  TestTopicAlias
3.3.2-14  TestMalformedPackets              wildcards in a response topic
3.3.2-15  TestMappingFromMQTT
3.3.2-16  TestMappingFromMQTT
3.3.2-17  TestMappingFromMQTT
3.3.2-18  TestMappingFromMQTT
3.3.2-20  TestMappingFromMQTT
3.3.4-1   TestExactlyOnceIn
3.3.4-2   TestOverlappingSubscriptions
3.3.4-3   TestOverlappingSubscriptions
3.3.4-4   TestSharedSubscriptionHasItsOwnIdentifier
3.3.4-6   TestHostileClients                an identifier from a client
3.3.4-7   TestReceiveMaximumOfPublishers
3.3.4-9   TestReceiveMaximumOfSubscribers
3.4.2-1   TestNoMatchingSubscribers
3.5.2-1   TestNoMatchingSubscribers
3.6.1-1   TestMalformedPackets              flags of PUBREL
3.6.2-1   TestPubrelOfNothing
3.7.2-1   TestPubrelOfNothing
3.8.1-1   TestMalformedPackets              flags of SUBSCRIBE
3.8.3-1   TestMalformedPackets              filters that are no text
3.8.3-2   TestMalformedPackets              no filter
3.8.3-3   TestNoLocal
3.8.3-4   TestHostileClients                no local of a group
3.8.3-5   TestMalformedPackets              reserved options
3.8.4-1   TestOverlappingSubscriptions
3.8.4-2   TestOverlappingSubscriptions
3.8.4-3   TestOverlappingSubscriptions      the same filter anew
3.8.4-4   TestRetainHandling
3.8.4-5   TestDollarTopics                  several filters
3.8.4-6   TestRefusedSubscriptions
3.8.4-7   TestQoSMax
3.8.4-8   TestOverlappingSubscriptions      the lower QoS of the two
3.9.3-1   TestRefusedSubscriptions
3.9.3-2   TestRefusedSubscriptions
3.10.1-1  TestMalformedPackets              flags of UNSUBSCRIBE
3.10.3-1  TestMalformedPackets              filters that are no text
3.10.3-2  TestMalformedPackets              no filter
3.10.4-1  conversation
3.10.4-2  TestOverlappingSubscriptions
3.10.4-3  conversation
3.10.4-4  TestOverlappingSubscriptions
3.10.4-6  TestOverlappingSubscriptions
3.11.3-1  TestOverlappingSubscriptions
3.12.4-1  TestKeepAlive
3.14.0-1  TestMalformedPackets              no DISCONNECT to who was not let in
3.14.1-1  TestMalformedPackets              flags of DISCONNECT
3.14.2-2  TestMalformedPackets              a session that was to end stays so
3.14.4-1  conversation
3.14.4-2  TestDisconnectChangesTheExpiry
3.14.4-3  TestWill
3.15.1-1  TestHostileClients                AUTH that nobody asked for
4.1.0-1   TestSessionExpiry                 no session ends under its client
4.1.0-2   TestSessionExpiry
4.2.0-1   TestLargeMessageAndStormOfTakeOvers
4.3.1-1   TestReceiveMaximumOfSubscribers
4.3.2-1   TestReceiveMaximumOfSubscribers
4.3.2-4   TestPubackComesAfterTheCommit
4.3.2-5   conversation
4.3.3-2   TestExactlyOnceOut
4.3.3-4   TestExactlyOnceOut
4.3.3-8   TestExactlyOnceInWaitsForTheDisk
4.3.3-9   conversation
4.3.3-10  TestExactlyOnceIn
4.3.3-11  TestExactlyOnceIn
4.3.3-12  TestExactlyOnceIn
4.3.3-13  conversation
4.4.0-1   TestExactlyOnceOutSurvivesPowerCuts
4.4.0-1   TestIdentifiersStay
4.4.0-1   conversation
4.4.0-2   conversation
4.5.0-1   TestOverlappingSubscriptions
4.6.0-1   TestRedelivery
4.6.0-2   TestAnswersKeepTheirOrder
4.6.0-3   TestAnswersKeepTheirOrder
4.6.0-4   conversation
4.6.0-5   TestBacklogComesInOrder
4.7.0-1   TestMalformedPackets              wildcards in a topic
4.7.1-1   TestMalformedPackets              where # may stand
4.7.1-2   TestMalformedPackets              where + may stand
4.7.2-1   TestDollarTopics
4.7.3-1   TestMalformedPackets              an empty filter
4.7.3-2   TestMalformedPackets              U+0000
4.7.3-3   TestLongTopics
4.7.3-4   conversation
4.8.2-1   mqttwire.TestSplitShare
4.8.2-2   mqttwire.TestSplitShare
4.8.2-3   TestSharedSubscription            QoS 1 is the most that is granted
4.8.2-6   conversation
4.9.0-1   conversation
4.9.0-2   TestReceiveMaximumOfSubscribers
4.9.0-3   conversation
4.12.0-1  TestConnect                       enhanced authentication is refused
4.13.1-1  TestMalformedPackets
4.13.2-1  TestMalformedPackets
`

var testName = regexp.MustCompile(`(?m)^func (Test\w+)\(t \*testing\.T\)`)

// testsIn lists the tests of a package.
func testsIn(t *testing.T, dir, prefix string) (names []string) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*_test.go"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range testName.FindAllSubmatch(text, -1) {
			names = append(names, prefix+string(m[1]))
		}
	}
	return names
}

// TestConformanceTable: what the table names is there, and each conversation has
// its line.
func TestConformanceTable(t *testing.T) {
	tests := append(testsIn(t, ".", ""), testsIn(t, "../mqttwire", "mqttwire.")...)
	var talked []string
	for line := range strings.Lines(strings.TrimSpace(conformance)) {
		words := strings.Fields(line)
		if len(words) < 2 {
			t.Errorf("%q names no test", line)
			continue
		}
		switch statement, test := words[0], words[1]; {
		case test == "conversation":
			talked = append(talked, statement)
		case !slices.Contains(tests, test):
			t.Errorf("statement %s: there is no test %s", statement, test)
		}
	}
	var held []string
	for _, c := range conversations {
		held = append(held, c.statement)
	}
	slices.Sort(held)
	slices.Sort(talked)
	if held = slices.Compact(held); !slices.Equal(held, talked) {
		t.Errorf("conversations are about\n%v, the table says\n%v", held, talked)
	}
}
