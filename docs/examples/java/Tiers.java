import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.message.BinaryMessageDecoder;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.errors.WakeupException;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Prints who rose or fell, and why: {@code Tiers KAFKA SCHEMAS [TIER]}.
 *
 * <p>TIER: only changes to that tier. Ctrl-C ends it; started again it goes on where it was.
 */
public class Tiers {
    public static void main(String[] args) throws Exception {
        BinaryMessageDecoder<GenericRecord> decoder = decoder(Path.of(args[1]));
        Map<String, Object> settings = Map.of(
                ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, args[0],
                ConsumerConfig.GROUP_ID_CONFIG, "tiers-java",
                ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed", // what a crash left half told is never seen
                ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest",
                ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
        var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new ByteArrayDeserializer());
        Thread main = Thread.currentThread();
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            consumer.wakeup();
            try {
                main.join();
            } catch (InterruptedException ended) {
                Thread.currentThread().interrupt();
            }
        }));
        try (consumer) {
            consumer.subscribe(List.of("tier-changes"));
            while (true) {
                for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofSeconds(1))) {
                    if (args.length < 3 || args[2].equals(header(record, "tier"))) {
                        act(decoder.decode(record.value())); // the others need no decoding
                    }
                }
                consumer.commitSync(); // after the work: what a crash leaves undone comes again
            }
        } catch (WakeupException end) {
            // asked to end
        }
    }

    /** May be called again for a change that it has seen: keep {@code event_id} beside what you do about it. */
    private static void act(GenericRecord change) {
        System.out.printf("%s\t%s\t%s\t%s%n",
                change.get("customer_id"), change.get("from_tier"), change.get("to_tier"), change.get("reason"));
    }

    private static String header(ConsumerRecord<?, ?> record, String name) {
        var header = record.headers().lastHeader(name);
        return header == null ? null : new String(header.value(), StandardCharsets.UTF_8);
    }

    /** Reads a change that was written under any release, as the newest. */
    private static BinaryMessageDecoder<GenericRecord> decoder(Path schemas) throws IOException {
        var mine = new Schema.Parser().parse(schemas.resolve("tier-changes.avsc").toFile());
        var decoder = new BinaryMessageDecoder<GenericRecord>(GenericData.get(), mine);
        try (var releases = Files.newDirectoryStream(schemas.resolve("released/tier-changes"), "*.avsc")) {
            for (Path release : releases) {
                decoder.addSchema(new Schema.Parser().parse(release.toFile()));
            }
        }
        return decoder;
    }
}
