"""Stand-ins of cloud services on loopback, for the real clients."""

import os

# Read when gcsfs is imported: it would ask Google by gRPC what kind of bucket it has, for a minute each.
os.environ["GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT"] = "false"
