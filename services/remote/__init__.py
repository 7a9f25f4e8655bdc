"""The commands of `sluse` that speak to a running Sluse over its REST API, from any machine."""
