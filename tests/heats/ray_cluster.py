"""A Ray cluster of two nodes on this machine; prints its address and runs until its standard input is closed.

A line on standard input kills the second node.
"""

import sys

from ray.cluster_utils import Cluster

if __name__ == "__main__":
    small = {"num_cpus": 1, "object_store_memory": 100 << 20, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=small)
    second = cluster.add_node(num_cpus=1, object_store_memory=100 << 20)
    cluster.wait_for_nodes()
    sys.stdout.write(cluster.address + "\n")
    sys.stdout.flush()
    if sys.stdin.readline():
        cluster.remove_node(second, allow_graceful=False)
        sys.stdin.read()
    cluster.shutdown()
