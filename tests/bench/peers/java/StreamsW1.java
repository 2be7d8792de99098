import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.LongBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Properties;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericArray;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.BinaryDecoder;
import org.apache.avro.io.DecoderFactory;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.processor.PunctuationType;
import org.apache.kafka.streams.processor.StateStore;
import org.apache.kafka.streams.processor.StateStoreContext;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;
import org.apache.kafka.streams.state.StoreBuilder;
import org.apache.kafka.streams.state.Stores;
import redis.clients.jedis.Jedis;
import redis.clients.jedis.Pipeline;

/**
 * W1 on Kafka Streams: states in RocksDB behind a cache, with a changelog; hashes by a Jedis pipeline of each task, sent
 * when a thousand customers are touched, each 100 ms, and before every commit. The argument is the processing guarantee.
 */
public final class StreamsW1 {
  private static final int HEADER_BYTES = 10;
  private static final long DAY_MS = 86_400_000L;
  private static final long WINDOW_DAYS = 365;
  private static final int BATCH = 1_000;
  private static final long[] LEAST = {100_000, 40_000, 15_000, 5_000};
  private static final String[] TIERS = {"platinum", "gold", "silver", "bronze", "member"};
  private static final int HEAD = 3; // of a state: value, count, last purchase; then day, amount, sales of each purchase

  private static long events;
  private static double first;
  private static long visible; // one stream thread: no lock

  private static String tier(long value) {
    int at = 0;
    while (at < LEAST.length && value < LEAST[at]) at++;
    return TIERS[at];
  }

  private static double now() {
    return System.currentTimeMillis() / 1000.0;
  }

  /** Hashes not yet in Redis. A store of no content, because Streams flushes stores before it commits. */
  private static final class Outgoing implements StateStore {
    private final Map<String, long[]> touched = new LinkedHashMap<>();
    private Jedis jedis;
    private long pending;

    void put(String customer, long value, long count, long last) {
      touched.put(customer, new long[] {value, count, last});
      pending++;
      if (touched.size() >= BATCH) flush();
    }

    @Override
    public void flush() {
      if (touched.isEmpty()) return;
      try (Pipeline pipeline = jedis.pipelined()) {
        touched.forEach((customer, one) -> {
          Map<String, String> hash = new HashMap<>(8);
          hash.put("customer_id", customer);
          hash.put("value_365d", Long.toString(one[0]));
          hash.put("purchases_365d", Long.toString(one[1]));
          hash.put("tier", tier(one[0]));
          hash.put("last_purchase_at", Long.toString(one[2]));
          pipeline.hset("w1:" + customer, hash);
        });
        pipeline.sync();
      }
      touched.clear();
      visible += pending;
      pending = 0;
      if (visible >= events) {
        System.out.printf("%nW1 {\"first\": %.3f, \"last\": %.3f, \"events\": %d}%n", first, now(), visible);
        System.out.flush();
      }
    }

    @Override
    public String name() {
      return "outgoing";
    }

    @Override
    public void init(StateStoreContext context, StateStore root) {
      jedis = new Jedis("127.0.0.1", Integer.parseInt(System.getenv("W1_REDIS")));
      context.register(root, (key, value) -> {});
    }

    @Override
    public void close() {
      if (jedis != null) jedis.close();
      jedis = null;
    }

    @Override
    public boolean persistent() {
      return false;
    }

    @Override
    public boolean isOpen() {
      return jedis != null;
    }
  }

  private static final class OutgoingBuilder implements StoreBuilder<Outgoing> {
    @Override
    public StoreBuilder<Outgoing> withCachingEnabled() {
      return this;
    }

    @Override
    public StoreBuilder<Outgoing> withCachingDisabled() {
      return this;
    }

    @Override
    public StoreBuilder<Outgoing> withLoggingEnabled(Map<String, String> config) {
      return this;
    }

    @Override
    public StoreBuilder<Outgoing> withLoggingDisabled() {
      return this;
    }

    @Override
    public Outgoing build() {
      return new Outgoing();
    }

    @Override
    public Map<String, String> logConfig() {
      return Map.of();
    }

    @Override
    public boolean loggingEnabled() {
      return false;
    }

    @Override
    public String name() {
      return "outgoing";
    }
  }

  /** One purchase: decode, fold, put. */
  private static final class Fold implements Processor<String, byte[], Void, Void> {
    private final GenericDatumReader<GenericRecord> reader;
    private KeyValueStore<String, byte[]> states;
    private Outgoing outgoing;
    private BinaryDecoder decoder;
    private GenericRecord event;

    Fold(Schema schema) {
      reader = new GenericDatumReader<>(schema);
    }

    @Override
    public void init(ProcessorContext<Void, Void> context) {
      states = context.getStateStore("states");
      outgoing = context.getStateStore("outgoing");
      context.schedule(Duration.ofMillis(100), PunctuationType.WALL_CLOCK_TIME, at -> outgoing.flush());
    }

    @Override
    public void process(Record<String, byte[]> record) {
      if (first == 0) first = now();
      byte[] value = record.value();
      try {
        decoder = DecoderFactory.get().binaryDecoder(value, HEADER_BYTES, value.length - HEADER_BYTES, decoder);
        event = reader.read(event, decoder);
      } catch (IOException error) {
        throw new UncheckedIOException(error);
      }
      String customer = event.get("customer_id").toString();
      long amount = 0;
      for (Object line : (GenericArray<?>) event.get("lines")) amount += (Long) ((GenericRecord) line).get("net_amount");
      boolean sale = event.get("kind").toString().equals("SALE");
      long[] state = folded(states.get(customer), (Long) event.get("occurred_at"), sale ? amount : -amount, sale ? 1 : 0);
      ByteBuffer bytes = ByteBuffer.allocate(8 * state.length);
      bytes.asLongBuffer().put(state);
      states.put(customer, bytes.array());
      outgoing.put(customer, state[0], state[1], state[2]);
    }

    private static long[] folded(byte[] was, long at, long amount, long sales) {
      long day = Math.floorDiv(at, DAY_MS);
      if (was == null) return new long[] {amount, sales, at, day, amount, sales};
      LongBuffer old = ByteBuffer.wrap(was).asLongBuffer();
      int length = old.remaining();
      long value = old.get(0) + amount;
      long count = old.get(1) + sales;
      int from = HEAD;
      while (from < length && old.get(from) <= day - WINDOW_DAYS) {
        value -= old.get(from + 1);
        count -= old.get(from + 2);
        from += 3;
      }
      long[] state = new long[HEAD + length - from + 3];
      old.get(from, state, HEAD, length - from);
      state[0] = value;
      state[1] = count;
      state[2] = Math.max(old.get(2), at);
      state[state.length - 3] = day;
      state[state.length - 2] = amount;
      state[state.length - 1] = sales;
      return state;
    }
  }

  public static void main(String[] args) throws Exception {
    events = Long.parseLong(System.getenv("W1_EVENTS"));
    Schema schema = new Schema.Parser().parse(Files.readString(Path.of(System.getenv("W1_SCHEMA"))));
    Properties settings = new Properties();
    settings.put("application.id", System.getenv("W1_GROUP"));
    settings.put("bootstrap.servers", System.getenv("W1_KAFKA"));
    settings.put("state.dir", System.getenv("W1_STATE"));
    settings.put("processing.guarantee", args[0]);
    settings.put("num.stream.threads", 1);
    settings.put("replication.factor", 1);
    settings.put("auto.offset.reset", "earliest");
    Topology topology = new Topology();
    topology.addSource("purchases", Serdes.String().deserializer(), Serdes.ByteArray().deserializer(), "purchases");
    topology.addProcessor("fold", () -> new Fold(schema), "purchases");
    topology.addStateStore(
        Stores.keyValueStoreBuilder(Stores.persistentKeyValueStore("states"), Serdes.String(), Serdes.ByteArray())
            .withCachingEnabled()
            .withLoggingEnabled(Map.of()),
        "fold");
    topology.addStateStore(new OutgoingBuilder(), "fold");
    KafkaStreams streams = new KafkaStreams(topology, settings);
    Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(5))));
    streams.start();
  }
}
