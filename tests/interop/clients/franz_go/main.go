// What franz-go does with a broker, told in one line of JSON:
//
//	franz_go BOOTSTRAP TOPIC GROUP RECORDS
//
// A topic is made, written to with each codec in turn, read by a group of two members that commit
// what they polled, asked about, and removed.
package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

const partitions = 4

var codecs = []kgo.CompressionCodec{
	kgo.NoCompression(),
	kgo.GzipCompression(),
	kgo.SnappyCompression(),
	kgo.Lz4Compression(),
	kgo.ZstdCompression(),
}

type told struct {
	Seen         int    `json:"seen"`
	Members      int    `json:"members"`
	WrongHeaders int    `json:"wrongHeaders"`
	Committed    int64  `json:"committed"`
	Ends         int64  `json:"ends"`
	Low          int64  `json:"low"`
	Partitions   int    `json:"partitions"`
	State        string `json:"state"`
	Gone         bool   `json:"gone"`
}

func must[T any](value T, err error) T {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	return value
}

func check(err error) {
	must(0, err)
}

func produce(ctx context.Context, bootstrap, topic string, records int) {
	number := 0
	for i, codec := range codecs {
		client := must(kgo.NewClient(
			kgo.SeedBrokers(bootstrap),
			kgo.DefaultProduceTopic(topic),
			kgo.ProducerBatchCompression(codec),
		))
		for ; number < records*(i+1)/len(codecs); number++ {
			value := []byte(strconv.Itoa(number))
			client.Produce(ctx, &kgo.Record{
				Key:     []byte(fmt.Sprintf("key%d", number)),
				Value:   value,
				Headers: []kgo.RecordHeader{{Key: "number", Value: value}},
			}, func(_ *kgo.Record, err error) { check(err) })
		}
		check(client.Flush(ctx))
		client.Close()
	}
}

// consume polls two members in turn until both were assigned something and all was seen.
func consume(ctx context.Context, bootstrap, topic, group string, records int, told *told) {
	seen := map[string]bool{}
	members := map[int]bool{}
	var clients []*kgo.Client
	for member := 0; member < 2; member++ {
		clients = append(clients, must(kgo.NewClient(
			kgo.SeedBrokers(bootstrap),
			kgo.ConsumerGroup(group),
			kgo.ConsumeTopics(topic),
			kgo.DisableAutoCommit(),
			kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
			kgo.HeartbeatInterval(200*time.Millisecond),
			kgo.OnPartitionsAssigned(func(_ context.Context, _ *kgo.Client, got map[string][]int32) {
				if len(got[topic]) > 0 {
					assigned <- member
				}
			}),
		)))
	}
	for len(seen) < records || len(members) < len(clients) {
		for _, client := range clients {
			wait, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
			fetches := client.PollFetches(wait)
			cancel()
			fetches.EachRecord(func(record *kgo.Record) {
				if string(record.Headers[0].Value) != string(record.Value) {
					told.WrongHeaders++
				}
				seen[string(record.Value)] = true
			})
			if fetches.NumRecords() > 0 {
				check(client.CommitUncommittedOffsets(ctx))
			}
		}
		for more := true; more; {
			select {
			case member := <-assigned:
				members[member] = true
			default:
				more = false
			}
		}
	}
	for _, client := range clients {
		client.Close()
	}
	told.Seen, told.Members = len(seen), len(members)
}

var assigned = make(chan int, 100)

func main() {
	bootstrap, topic, group := os.Args[1], os.Args[2], os.Args[3]
	records := must(strconv.Atoi(os.Args[4]))
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	client := must(kgo.NewClient(kgo.SeedBrokers(bootstrap)))
	admin := kadm.NewClient(client)
	defer client.Close()

	check(must(admin.CreateTopic(ctx, partitions, 1, nil, topic)).Err)
	produce(ctx, bootstrap, topic, records)
	var told told
	consume(ctx, bootstrap, topic, group, records, &told)

	for _, offset := range must(admin.FetchOffsets(ctx, group)).Sorted() {
		check(offset.Err)
		told.Committed += offset.At
	}
	for _, offset := range must(admin.ListEndOffsets(ctx, topic)).Offsets().Sorted() {
		told.Ends += offset.At
	}
	told.State = must(admin.DescribeGroups(ctx, group))[group].State
	told.Partitions = len(must(admin.ListTopics(ctx, topic))[topic].Partitions)

	var below kadm.Offsets
	below.AddOffset(topic, 0, 1, -1)
	deleted := must(admin.DeleteRecords(ctx, below))
	told.Low = deleted[topic][0].LowWatermark
	check(deleted[topic][0].Err)
	check(must(admin.DeleteGroup(ctx, group)).Err)
	check(must(admin.DeleteTopic(ctx, topic)).Err)
	told.Gone = !must(admin.ListTopics(ctx)).Has(topic)
	check(json.NewEncoder(os.Stdout).Encode(told))
}
