// Prints who rose or fell, and why: go run ./tiers KAFKA SCHEMAS [TIER]
//
// TIER: only changes to that tier. Ctrl-C ends it; started again it goes on where it was.
package main

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"log"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
)

// What this service needs of a change; the released schemas have more, which is skipped.
var mine = avro.MustParse(`{"type": "record", "name": "loyalty.v1.TierChange", "fields": [
	{"name": "event_id", "type": "string"},
	{"name": "customer_id", "type": "string"},
	{"name": "from_tier", "type": "string"},
	{"name": "to_tier", "type": "string"},
	{"name": "reason", "type": "string"}]}`)

// TierChange is one as `mine` has it.
type TierChange struct {
	EventID    string `avro:"event_id"`
	CustomerID string `avro:"customer_id"`
	From       string `avro:"from_tier"`
	To         string `avro:"to_tier"`
	Reason     string `avro:"reason"`
}

func main() {
	if len(os.Args) < 3 {
		log.Fatal("usage: tiers KAFKA SCHEMAS [TIER]")
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	known, err := released(os.Args[2])
	if err != nil {
		log.Fatal(err)
	}
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(os.Args[1], ",")...),
		kgo.ConsumerGroup("tiers-go"),
		kgo.ConsumeTopics("tier-changes"),
		kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), // what a crash left half told is never seen
		kgo.DisableAutoCommit(),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	for {
		fetches := client.PollFetches(ctx)
		if ctx.Err() != nil {
			return
		}
		if err := fetches.Err(); err != nil {
			log.Fatal(err)
		}
		for records := fetches.RecordIter(); !records.Done(); {
			record := records.Next()
			if len(os.Args) > 3 && header(record, "tier") != os.Args[3] {
				continue // needs no decoding
			}
			change, err := decode(record.Value, known)
			if err != nil {
				log.Fatal(err)
			}
			act(change)
		}
		// After the work: what a crash leaves undone comes again.
		if err := client.CommitUncommittedOffsets(ctx); err != nil && !errors.Is(err, context.Canceled) {
			log.Fatal(err)
		}
	}
}

// act may be called again for a change that it has seen: keep EventID beside what you do about it.
func act(change TierChange) {
	fmt.Printf("%s\t%s\t%s\t%s\n", change.CustomerID, change.From, change.To, change.Reason)
}

func header(record *kgo.Record, name string) string {
	for _, header := range record.Headers {
		if header.Key == name {
			return string(header.Value)
		}
	}
	return ""
}

// released has every schema that a change may have been written under, by its fingerprint, resolved to mine.
func released(folder string) (map[[8]byte]*avro.Schema, error) {
	paths, err := filepath.Glob(filepath.Join(folder, "released", "tier-changes", "*.avsc"))
	if err != nil {
		return nil, err
	}
	known := map[[8]byte]*avro.Schema{}
	for _, path := range paths {
		writer, err := load(path)
		if err != nil {
			return nil, err
		}
		if known[mark(writer)], err = avro.Resolve(writer, mine); err != nil {
			return nil, err
		}
	}
	return known, nil
}

// mark is the CRC-64-AVRO of the schema's canonical form as it stands in a record: little-endian.
func mark(schema *avro.Schema) (bytes [8]byte) {
	hash := avro.NewRabin()
	hash.Write(schema.Canonical())
	binary.LittleEndian.PutUint64(bytes[:], hash.Sum64())
	return bytes
}

func load(path string) (*avro.Schema, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	return avro.Parse(string(text))
}

func decode(value []byte, known map[[8]byte]*avro.Schema) (change TierChange, err error) {
	mark, body, err := avro.SingleObjectFingerprint(value)
	if err != nil {
		return change, err
	}
	schema, found := known[mark]
	if !found {
		return change, fmt.Errorf("no released schema has the mark %x: fetch the newest", mark)
	}
	_, err = schema.Decode(body, &change)
	return change, err
}
