"""The policies that Dockerfiles, the compose file and the Kubernetes manifests keep: `python -m deploy.checks`."""
