package admin

import (
	"encoding/base64"
	"fmt"
	"math"
	"strconv"
	"strings"
	"unicode/utf8"

	"leveret/amqp"
)

// object is a field table as a JSON object. Of equal keys the first counts.
func object(t amqp.Table) map[string]any {
	o := make(map[string]any, len(t))
	for _, f := range t {
		if _, twice := o[f.Key]; !twice {
			o[f.Key] = jsonValue(f.Value)
		}
	}
	return o
}

// jsonValue is a field value as JSON has it. What JSON has no word for becomes
// text: clients send these values, and a list must not fail because of one.
func jsonValue(v any) any {
	switch v := v.(type) {
	case amqp.Table:
		return object(v)
	case amqp.Array:
		list := make([]any, len(v))
		for i := range v {
			list[i] = jsonValue(v[i])
		}
		return list
	case []byte:
		return text(v)
	case float32:
		return jsonValue(float64(v))
	case float64:
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return strconv.FormatFloat(v, 'g', -1, 64)
		}
		return v
	case amqp.Decimal:
		digits := strconv.FormatUint(uint64(v.Value), 10)
		if pad := int(v.Scale) + 1 - len(digits); pad > 0 {
			digits = strings.Repeat("0", pad) + digits
		}
		if v.Scale == 0 {
			return digits
		}
		at := len(digits) - int(v.Scale)
		return digits[:at] + "." + digits[at:]
	case nil, bool, string, int8, uint8, int16, uint16, int32, uint32, int64, amqp.Timestamp:
		return v
	}
	return fmt.Sprint(v)
}

// text is bytes as text, in base64 when they are none.
func text(b []byte) string {
	if utf8.Valid(b) {
		return string(b)
	}
	return base64.StdEncoding.EncodeToString(b)
}
