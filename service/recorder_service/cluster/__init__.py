"""Several nodes on one catalog: leases, who owns what, and the processes of one machine behind one port."""
