import java.io.IOException;
import java.io.PrintStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.transport.Netty4Plugin;

/**
 * Runs one OpenSearch node until its standard input ends. That pipe is the node's life line: it breaks however the
 * test process ends, SIGKILL included.
 *
 * Arguments: one that Elasticsearch's launcher uses; the node's home; a directory to remove at the end, or ""; then
 * settings as key=value. Prints "ready" when the node listens.
 */
public class Launcher {
    private static final long CLOSE_WITHIN_MILLIS = 20_000;

    public static void main(String[] args) throws Exception {
        PrintStream parent = System.out;
        System.setOut(System.err);
        Path home = Path.of(args[1]);

        Node node = new Started(environment(home, List.of(args).subList(3, args.length)));
        node.start();
        parent.println("ready");
        parent.flush();

        while (System.in.read() >= 0) {
            // Nothing is ever sent: only the end counts.
        }
        haltLater();
        node.close();
        if (!args[2].isEmpty()) {
            removeTree(Path.of(args[2]));
        }
        System.exit(0);
    }

    private static Environment environment(Path home, List<String> assignments) {
        Settings.Builder settings = Settings.builder().put("path.home", home.toString());
        for (String assignment : assignments) {
            String[] keyValue = assignment.split("=", 2);
            settings.put(keyValue[0], keyValue[1]);
        }
        return InternalSettingsPreparer.prepareEnvironment(settings.build(), Map.of(), home.resolve("config"), () -> "node");
    }

    /** A node with a module that is on the class path. */
    private static class Started extends Node {
        Started(Environment environment) {
            super(environment, List.of(Netty4Plugin.class), false);
        }
    }

    /** A node that does not close must not outlive its test. */
    private static void haltLater() {
        Thread watchdog = new Thread(() -> {
            try {
                Thread.sleep(CLOSE_WITHIN_MILLIS);
            } catch (InterruptedException e) {
                return;
            }
            Runtime.getRuntime().halt(1);
        });
        watchdog.setDaemon(true);
        watchdog.start();
    }

    private static void removeTree(Path root) throws IOException {
        try (Stream<Path> paths = Files.walk(root)) {
            for (Path path : (Iterable<Path>) paths.sorted(Comparator.reverseOrder())::iterator) {
                Files.deleteIfExists(path);
            }
        }
    }
}
