import java.util.List;
import java.util.Map;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;
import org.elasticsearch.reindex.ReindexPlugin;
import org.elasticsearch.transport.Netty4Plugin;

/** An Elasticsearch of one node, for tests. Arguments: its folder, the port for HTTP, the port for other nodes. */
public class SingleNode extends Node {
    SingleNode(Settings settings) {
        super(
                InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "node"),
                List.of(Netty4Plugin.class, ReindexPlugin.class),
                true);
    }

    public static void main(String[] arguments) throws Exception {
        Settings.Builder settings = Settings.builder().put("path.home", arguments[0]);
        settings.put("http.port", arguments[1]).put("transport.port", arguments[2]);
        settings.put("http.type", "netty4").put("transport.type", "netty4").put("network.host", "127.0.0.1");
        settings.put("discovery.type", "single-node");
        settings.put("cluster.routing.allocation.disk.threshold_enabled", false);
        new SingleNode(settings.build()).start();
        Thread.currentThread().join();
    }
}
