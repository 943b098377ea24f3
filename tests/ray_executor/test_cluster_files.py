"""The cluster files of the how-to have the right form, and agree with each other and with it.

No cluster is started from them. The one for `ray up` is held against Ray's own schema; that for
KubeRay against the part of its definition (RayCluster, ray.io/v1) that it uses.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="its schema and its parser of YAML come with Ray")

import jsonschema
import yaml
from cluster_faults import HEALTH

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to"
FEEDING = HOW_TO / "feed-several-trainers.md"
COMPUTING = HOW_TO / "compute-batches-on-a-cluster.md"
GIB = 1 << 30
UNITS = {"Mi": 1 << 20, "Gi": GIB}


def object_of(required, optional=None):
    """Of these fields, and no others: Kubernetes refuses unknown ones, or drops them."""
    return {
        "type": "object",
        "properties": required | (optional or {}),
        "required": [*required],
        "additionalProperties": False,
    }


def list_of(item):
    return {"type": "array", "items": item, "minItems": 1}


TEXT, COUNT = {"type": "string"}, {"type": "integer", "minimum": 0}
TEXTS = {"type": "object", "additionalProperties": TEXT}
QUANTITIES = {
    "type": "object",
    "additionalProperties": {"type": "string", "pattern": "^[0-9]+(Mi|Gi)?$"},
}
CONTAINER = object_of(
    {
        "name": TEXT,
        "image": TEXT,
        "resources": object_of({"requests": QUANTITIES, "limits": QUANTITIES}),
        "volumeMounts": list_of(object_of({"name": TEXT, "mountPath": TEXT})),
    },
    {
        "env": list_of(object_of({"name": TEXT, "value": TEXT})),
        "ports": list_of(object_of({"name": TEXT, "containerPort": COUNT})),
    },
)
VOLUME = object_of(
    {"name": TEXT, "emptyDir": object_of({"medium": {"const": "Memory"}, "sizeLimit": TEXT})}
)
PODS = {
    "rayStartParams": TEXTS,  # all values are strings: they become options of `ray start`
    "template": object_of(
        {"spec": object_of({"containers": list_of(CONTAINER), "volumes": list_of(VOLUME)})}
    ),
}
GROUP = {"groupName": TEXT, "replicas": COUNT, "minReplicas": COUNT, "maxReplicas": COUNT, **PODS}
RAY_CLUSTER = object_of(
    {
        "apiVersion": {"const": "ray.io/v1"},
        "kind": {"const": "RayCluster"},
        "metadata": object_of({"name": TEXT}),
        "spec": object_of(
            {
                "rayVersion": TEXT,
                "headGroupSpec": object_of(PODS),
                "workerGroupSpecs": list_of(object_of(GROUP)),
            }
        ),
    }
)


@pytest.fixture(scope="module")
def kuberay():
    return yaml.safe_load((HOW_TO / "cluster" / "raycluster.yaml").read_text())


@pytest.fixture(scope="module")
def ray_up():
    return yaml.safe_load((HOW_TO / "cluster" / "ray-up.yaml").read_text())


def groups(kuberay):
    """Head and workers, by name."""
    spec = kuberay["spec"]
    workers = {group["groupName"]: group for group in spec["workerGroupSpecs"]}
    return {"head": spec["headGroupSpec"], **workers}


def container_of(group):
    (container,) = group["template"]["spec"]["containers"]
    return container


def resources_of(group):
    """Those of our own, as `ray start` gets them: JSON, in quotes for the operator's shell."""
    return json.loads(json.loads(group["rayStartParams"].get("resources", '"{}"')))


def nbytes(quantity):
    return int(quantity[:-2]) * UNITS[quantity[-2:]]


def health_settings(text):
    return dict(re.findall(r"(RAY_health_check_\w+)=(\d+)", text))


def store_bytes(command):
    return int(re.search(r"--object-store-memory=(\d+)", command)[1])


def test_the_manifest_has_the_form_of_a_ray_cluster(kuberay):
    jsonschema.validate(kuberay, RAY_CLUSTER)
    for group in kuberay["spec"]["workerGroupSpecs"]:
        assert group["minReplicas"] <= group["replicas"] <= group["maxReplicas"]


@pytest.mark.parametrize(
    "spoil",
    [
        lambda spec: spec.update(workerGroupSpec=[]),
        lambda spec: spec["headGroupSpec"]["rayStartParams"].update({"num-cpus": 0}),
        lambda spec: container_of(spec["headGroupSpec"])["env"][0].update(value=500),
    ],
    ids=["unknown-field", "number-for-a-string", "number-in-the-environment"],
)
def test_a_manifest_of_another_form_is_noticed(kuberay, spoil):
    spoilt = json.loads(json.dumps(kuberay))
    spoil(spoilt["spec"])

    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(spoilt, RAY_CLUSTER)


def test_the_file_for_ray_up_has_the_form_that_ray_wants(ray_up):
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(ray_up))
    types = ray_up["available_node_types"]
    assert sum(one.get("max_workers", 0) for one in types.values()) == ray_up["max_workers"]


def test_only_feeders_have_the_resource_that_the_how_to_asks_for(kuberay, ray_up):
    feeders = groups(kuberay)["feeders"]
    (resource,) = resources_of(feeders)

    assert [name for name, group in groups(kuberay).items() if resources_of(group)] == ["feeders"]
    for name, kind in ray_up["available_node_types"].items():
        assert (resource in kind["resources"]) == (name == "feeders")
    for page in FEEDING, COMPUTING:
        assert f'resources={{"{resource}": 1}}' in page.read_text()
    # One for each CPU: an actor has both.
    cpus = container_of(feeders)["resources"]["limits"]["cpu"]
    assert resources_of(feeders)[resource] == int(cpus)
    kind = ray_up["available_node_types"]["feeders"]["resources"]
    assert kind[resource] == kind["CPU"]


def test_the_head_has_no_room_for_actors(kuberay, ray_up):
    assert groups(kuberay)["head"]["rayStartParams"]["num-cpus"] == "0"
    assert ray_up["available_node_types"][ray_up["head_node_type"]]["resources"] == {"CPU": 0}


def test_a_lost_machine_is_noticed_as_the_how_to_says(kuberay, ray_up):
    environment = container_of(groups(kuberay)["head"])["env"]
    (start,) = [one for one in ray_up["head_start_ray_commands"] if "ray start --head" in one]

    assert {one["name"]: one["value"] for one in environment} == HEALTH
    assert health_settings(start) == HEALTH
    assert health_settings(COMPUTING.read_text()) == HEALTH


def test_object_stores_fit_into_shared_memory_and_that_into_the_pods(kuberay):
    for name, group in groups(kuberay).items():
        container = container_of(group)
        limits = container["resources"]["limits"]
        (volume,) = group["template"]["spec"]["volumes"]

        assert limits == container["resources"]["requests"]
        assert container["volumeMounts"] == [{"name": volume["name"], "mountPath": "/dev/shm"}]
        store = int(group["rayStartParams"]["object-store-memory"])
        shared = nbytes(volume["emptyDir"]["sizeLimit"])
        assert store < shared < nbytes(limits["memory"]), name


def test_both_files_describe_the_same_cluster(kuberay, ray_up):
    types = ray_up["available_node_types"]
    (head,) = [one for one in ray_up["head_start_ray_commands"] if "ray start" in one]
    (worker,) = [one for one in ray_up["worker_start_ray_commands"] if "ray start" in one]

    assert types.keys() == groups(kuberay).keys()
    for name, group in groups(kuberay).items():
        assert group.get("replicas", 0) == types[name].get("max_workers", 0)
        store = int(group["rayStartParams"]["object-store-memory"])
        assert store == store_bytes(head if name == "head" else worker)
    (version,) = re.findall(r"ray\[default\]==([\d.]+)", " ".join(ray_up["setup_commands"]))
    assert version == kuberay["spec"]["rayVersion"]


def test_actors_and_store_fit_into_a_feeder(kuberay):
    feeders = groups(kuberay)["feeders"]
    (amount,) = resources_of(feeders).values()
    (gib,) = re.findall(r"memory=(\d+) << 30", FEEDING.read_text())

    store = int(feeders["rayStartParams"]["object-store-memory"])
    limit = nbytes(container_of(feeders)["resources"]["limits"]["memory"])
    assert amount * int(gib) * GIB + store < limit


@pytest.mark.parametrize("name", ["raycluster.yaml", "ray-up.yaml"])
def test_the_how_to_links_each_file(name):
    assert f"](cluster/{name})" in FEEDING.read_text()
