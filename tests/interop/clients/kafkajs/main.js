// What kafkajs does with a broker, told in one line of JSON:
//
//     node main.js BOOTSTRAP TOPIC GROUP RECORDS
//
// A topic is made, written to (half of it compressed), read by a group of two members that commit
// each record, asked about, and removed.

const { CompressionTypes, Kafka, logLevel } = require("kafkajs");

const [bootstrap, topic, group, count] = process.argv.slice(2);
const records = Number(count);
const kafka = new Kafka({ clientId: "interop", brokers: [bootstrap], logLevel: logLevel.NOTHING });

async function produce() {
  const producer = kafka.producer({ idempotent: true, maxInFlightRequests: 1 });
  await producer.connect();
  const half = Math.floor(records / 2);
  for (const [from, to, compression] of [
    [0, half, CompressionTypes.None],
    [half, records, CompressionTypes.GZIP],
  ]) {
    const messages = [];
    for (let number = from; number < to; number++) {
      messages.push({ key: `key${number}`, value: `${number}`, headers: { number: `${number}` } });
    }
    await producer.send({ topic, acks: -1, compression, messages });
  }
  await producer.disconnect();
}

async function consume() {
  const seen = {};
  const workers = new Set();
  const consumers = [];
  let wrongHeaders = 0;
  const done = new Promise((resolve, reject) => {
    for (const name of ["a", "b"]) {
      const consumer = kafka.consumer({ groupId: group, heartbeatInterval: 200, maxWaitTimeInMs: 200 });
      consumers.push(consumer);
      consumer.on(consumer.events.CRASH, ({ payload }) => payload.restart || reject(payload.error));
      consumer.on(consumer.events.GROUP_JOIN, (event) => {
        if ((event.payload.memberAssignment[topic] || []).length) workers.add(name);
        if (Object.keys(seen).length === records && workers.size === 2) resolve();
      });
      consumer.eachMessage = async ({ partition, message }) => {
        const value = message.value.toString();
        if (message.headers.number.toString() !== value) wrongHeaders++;
        seen[value] = (seen[value] || 0) + 1;
        const offset = `${Number(message.offset) + 1}`;
        await consumer.commitOffsets([{ topic, partition, offset }]);
        if (Object.keys(seen).length === records && workers.size === 2) resolve();
      };
    }
  });
  for (const consumer of consumers) {
    await consumer.connect();
    await consumer.subscribe({ topic, fromBeginning: true });
    await consumer.run({ autoCommit: false, eachMessage: consumer.eachMessage });
  }
  await done;
  for (const consumer of consumers) await consumer.disconnect();
  return { seen: Object.keys(seen).length, members: workers.size, wrongHeaders };
}

async function main() {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 4 }], waitForLeaders: true });
  await produce();
  const told = await consume();

  const [offsets] = await admin.fetchOffsets({ groupId: group, topics: [topic] });
  told.committed = offsets.partitions.reduce((sum, { offset }) => sum + Number(offset), 0);
  const ends = await admin.fetchTopicOffsets(topic);
  told.ends = ends.reduce((sum, { high }) => sum + Number(high), 0);
  const { groups } = await admin.describeGroups([group]);
  told.state = groups[0].state;
  const metadata = await admin.fetchTopicMetadata({ topics: [topic] });
  told.partitions = metadata.topics[0].partitions.length;

  await admin.deleteTopicRecords({ topic, partitions: [{ partition: 0, offset: "1" }] });
  const lows = await admin.fetchTopicOffsets(topic);
  told.low = Number(lows.find(({ partition }) => partition === 0).low);
  await admin.deleteGroups([group]);
  await admin.deleteTopics({ topics: [topic] });
  told.gone = !(await admin.listTopics()).includes(topic);
  await admin.disconnect();
  console.log(JSON.stringify(told));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
