"""The broker's figures, each as a ratio to a peer measured in the same run on the same machine.

How to read them, and how they are made:

- Engines take turns within each round, in another order each time, after a round that counts for
  nothing, so that a busy moment of the machine hits all of them. What is shown is the median of
  the rounds, and the median of the rounds' ratios with the least and the greatest of them.
- Clients are the same for every engine, connected and warm before a clock starts. Throughput is
  that of a window in the middle of the work, so neither start nor end of a client is in it.
- There are two pairs. Neither side syncs before it acknowledges: ours with durability "os", Kafka
  as it ships. Both do: ours as it ships, Kafka with `flush.messages=1` on the topic.
- A broker's CPU time is the kernel's exact count for its process, all threads.

`python -m bench.broker --help` tells how to run all of it or single sections. The modules of
measurements are listed in :mod:`bench.broker.sections`; what they share are the engines
(:mod:`~bench.broker.peers`), two clients (:mod:`~bench.broker.librdkafka` for speed,
:mod:`~bench.broker.wire` for exact sizes) and the results they give
(:mod:`~bench.broker.results`).
"""
