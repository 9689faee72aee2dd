package mqtt

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"leveret/amqp"
	"leveret/bridge/mqttwire"
	"leveret/spool"
)

// ending is why a connection ends. The first one counts.
type ending struct {
	reason mqttwire.ReasonCode // told to an MQTT 5 client
	text   string              // for the log, and told to a client that wants such texts
	err    error               // our own trouble, for the log alone
	server string              // where else the client is served, if it is to go there
	silent bool                // there is nobody to tell: the client is gone, or said goodbye
	clean  bool                // the client took its leave: no will
}

var (
	// errEnded: somebody else has ended the connection.
	errEnded = errors.New("connection has ended")
	// errBye: the client sent DISCONNECT; errByeWithWill: and wants its will sent.
	errBye         = errors.New("client disconnected")
	errByeWithWill = errors.New("client disconnected and asked for its will")
	// errStuck: the client did not take what was sent to it.
	errStuck = errors.New("client takes nothing any more")
)

// refusal is an error that the client may see.
func refusal(reason mqttwire.ReasonCode, format string, args ...any) error {
	return &mqttwire.Error{Code: reason, Text: fmt.Sprintf(format, args...)}
}

// endingOf says how a reader's error ends the connection.
func endingOf(err error) ending {
	if e, ok := errors.AsType[*mqttwire.Error](err); ok {
		why := ending{reason: e.Code, text: e.Text}
		if r, ok := errors.AsType[*redirected](err); ok {
			why.server = r.server
		}
		return why
	}
	if e, ok := errors.AsType[*amqp.Error](err); ok {
		return ending{reason: reasonOf(e), text: e.Text}
	}
	switch {
	case errors.Is(err, errBye):
		return ending{text: "client disconnected", silent: true, clean: true}
	case errors.Is(err, errByeWithWill):
		return ending{text: "client disconnected and asked for its will", silent: true}
	case errors.Is(err, errStuck):
		return ending{text: errStuck.Error(), silent: true}
	case errors.Is(err, os.ErrDeadlineExceeded):
		return ending{reason: mqttwire.KeepAliveTimeout, text: "client was silent for too long"}
	case errors.Is(err, spool.ErrFailed): // the process ends; others will answer
		return ending{reason: mqttwire.ServerShuttingDown, text: "spool failed"}
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe), errors.Is(err, net.ErrClosed):
		return ending{text: "client closed the connection", silent: true}
	}
	if e, ok := errors.AsType[net.Error](err); ok {
		return ending{text: "connection failed: " + e.Error(), silent: true}
	}
	return ending{reason: mqttwire.UnspecifiedError, text: "internal error", err: err}
}

// reasonOf says a refusal of the core in MQTT 5's words.
func reasonOf(e *amqp.Error) mqttwire.ReasonCode {
	switch e.Code {
	case amqp.AccessRefused:
		return mqttwire.NotAuthorized
	case amqp.PreconditionFailed, amqp.ResourceError: // limits
		return mqttwire.QuotaExceeded
	case amqp.NotFound, amqp.NotImplemented, amqp.ResourceLocked:
		return mqttwire.ImplementationSpecificError
	}
	return mqttwire.UnspecifiedError
}
