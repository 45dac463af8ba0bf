"""Names by which the runner, the provisioner and Jupyter know each other."""

GROUP = "jupyter_client.kernel_provisioners"
NAME = "quire-warm"
SOCKET = "QUIRE_WARM_SOCKET"
WANTS = "QUIRE_WARM_WANTS"
