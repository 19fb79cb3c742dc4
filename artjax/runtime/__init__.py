"""The machine: devices, processes, memory, compiler options, compilation cache and throughput."""
