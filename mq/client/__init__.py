"""A thin skin on confluent-kafka, and the few requests that librdkafka cannot send.

librdkafka does the protocol; each client of it gets one thread that polls, and what the thread
learns reaches the event loop through a queue and a wake-up. Errors become mq's here. This layer
knows bytes, topics, partitions and offsets, and neither handlers nor what bytes mean.
"""
