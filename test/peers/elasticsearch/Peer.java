import java.nio.file.Path;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.Node;

/**
 * One node of Elasticsearch in this process, without the launcher and the
 * security manager that come with the packaged server only.
 *
 * <p>Arguments: the home folder (of lib and modules), the data folder, the HTTP
 * port, the transport port.
 */
public final class Peer {
  public static void main(String[] args) throws Exception {
    Settings settings =
        Settings.builder()
            .put("path.home", args[0])
            .put("path.data", args[1])
            .put("path.logs", args[1])
            .put("http.port", args[2])
            .put("transport.port", args[3])
            .put("network.host", "127.0.0.1")
            .put("discovery.type", "single-node")
            .put("cluster.name", "peer")
            .put("node.name", "peer")
            // A full disk of the machine is no matter of the test.
            .put("cluster.routing.allocation.disk.threshold_enabled", false)
            .build();
    LogConfigurator.configureESLogging();
    LogConfigurator.configureWithoutConfig(settings);
    Node node = new Node(new Environment(settings, Path.of(args[0], "config")));
    Runtime.getRuntime()
        .addShutdownHook(
            new Thread(
                () -> {
                  try {
                    node.close();
                  } catch (java.io.IOException e) {
                    e.printStackTrace();
                  }
                }));
    node.start();
    Thread.currentThread().join();
  }
}
