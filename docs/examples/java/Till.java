import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Future;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.avro.message.BinaryMessageEncoder;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.serialization.ByteArraySerializer;
import org.apache.kafka.common.serialization.StringSerializer;

/**
 * Sends a till's sales: {@code Till KAFKA SCHEMAS STORE CURRENCY < journal.tsv}.
 *
 * <p>A line is a sale: event id, customer, UTC milliseconds, category, quantity, net amount in cents; tab between them.
 */
public class Till {
    public static void main(String[] args) throws Exception {
        Schema schema = new Schema.Parser().parse(Path.of(args[1], "purchases.avsc").toFile());
        var encoder = new BinaryMessageEncoder<GenericRecord>(GenericData.get(), schema); // c3 01, fingerprint, Avro
        // Idempotent, acknowledged by all replicas, placed by murmur2 of the key: all of it by default.
        Map<String, Object> settings = Map.of(ProducerConfig.BOOTSTRAP_SERVERS_CONFIG, args[0]);
        List<Future<RecordMetadata>> sent = new ArrayList<>();
        try (var producer = new KafkaProducer<>(settings, new StringSerializer(), new ByteArraySerializer());
                var journal = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8))) {
            for (String line; (line = journal.readLine()) != null; ) {
                GenericRecord sale = sale(schema, line.split("\t"), args[2], args[3]);
                String customer = (String) sale.get("customer_id");
                sent.add(producer.send(new ProducerRecord<>("purchases", customer, encoder.encode(sale).array())));
            }
            producer.flush();
            for (var one : sent) {
                one.get(); // throws what the brokers said
            }
        }
        System.out.println(sent.size() + " sales sent");
    }

    private static GenericRecord sale(Schema schema, String[] cells, String store, String currency) {
        Schema lines = schema.getField("lines").schema();
        GenericRecord line = new GenericRecordBuilder(lines.getElementType())
                .set("category", cells[3])
                .set("quantity", Integer.parseInt(cells[4]))
                .set("net_amount", Long.parseLong(cells[5]))
                .build();
        return new GenericRecordBuilder(schema) // what is not set takes the schema's default
                .set("event_id", cells[0])
                .set("customer_id", cells[1])
                .set("occurred_at", Long.parseLong(cells[2]))
                .set("kind", new GenericData.EnumSymbol(schema.getField("kind").schema(), "SALE"))
                .set("store_id", store)
                .set("currency", currency)
                .set("lines", List.of(line))
                .build();
    }
}
