// Sends a till's sales: go run ./till KAFKA SCHEMAS STORE CURRENCY < journal.tsv
//
// A line is a sale: event id, customer, UTC milliseconds, category, quantity, net amount in cents; tab between them.
package main

import (
	"bufio"
	"context"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/twmb/avro"
	"github.com/twmb/franz-go/pkg/kgo"
)

func main() {
	if len(os.Args) != 5 {
		log.Fatal("usage: till KAFKA SCHEMAS STORE CURRENCY < journal.tsv")
	}
	kafka, schemas, store, currency := os.Args[1], os.Args[2], os.Args[3], os.Args[4]
	text, err := os.ReadFile(filepath.Join(schemas, "purchases.avsc"))
	if err != nil {
		log.Fatal(err)
	}
	schema := avro.MustParse(string(text))
	// Idempotent, acknowledged by all replicas, placed by murmur2 as in Java: all of it by default.
	client, err := kgo.NewClient(kgo.SeedBrokers(strings.Split(kafka, ",")...), kgo.DefaultProduceTopic("purchases"))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	var refused kgo.FirstErrPromise
	sent := 0
	for lines := bufio.NewScanner(os.Stdin); lines.Scan(); sent++ {
		sale, err := parse(lines.Text(), store, currency)
		if err != nil {
			log.Fatalf("line %d: %v", sent+1, err)
		}
		value, err := schema.AppendSingleObject(nil, sale) // absent fields take the schema's defaults
		if err != nil {
			log.Fatalf("line %d: %v", sent+1, err)
		}
		record := &kgo.Record{Key: []byte(sale["customer_id"].(string)), Value: value}
		client.Produce(context.Background(), record, refused.Promise())
	}
	if err := refused.Err(); err != nil { // waits for what is under way
		log.Fatal(err)
	}
	fmt.Println(sent, "sales sent")
}

func parse(line, store, currency string) (map[string]any, error) {
	cells := strings.Split(line, "\t")
	if len(cells) != 6 {
		return nil, fmt.Errorf("has %d cells, wants 6", len(cells))
	}
	at, err := strconv.ParseInt(cells[2], 10, 64)
	if err != nil {
		return nil, err
	}
	quantity, err := strconv.Atoi(cells[4])
	if err != nil {
		return nil, err
	}
	amount, err := strconv.ParseInt(cells[5], 10, 64)
	if err != nil {
		return nil, err
	}
	return map[string]any{
		"event_id": cells[0], "customer_id": cells[1], "occurred_at": at, "kind": "SALE", "store_id": store,
		"currency": currency,
		"lines":    []map[string]any{{"category": cells[3], "quantity": quantity, "net_amount": amount}},
	}, nil
}
