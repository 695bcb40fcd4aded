"""Stock Python clients against a server: `kubernetes` with its typed, custom and dynamic sides, and `kr8s`.

Each function is a test; the first that fails ends the run with its traceback.
"""

import os
import time

import urllib3
from kubernetes import client, config, dynamic, watch
from kubernetes.client.exceptions import ApiException

config.load_kube_config(os.environ["KUBECONFIG"])
core = client.CoreV1Api()
custom = client.CustomObjectsApi()
NAMESPACE = "python"


def refusal(call, *args, **kwargs):
    try:
        call(*args, **kwargs)
    except ApiException as refused:
        return refused
    raise AssertionError(f"{call.__name__} was not refused")


def until(what, holds):
    for _ in range(300):
        if holds():
            return
        time.sleep(0.1)
    raise AssertionError(f"never happened: {what}")


def namespaces():
    core.create_namespace({"metadata": {"name": NAMESPACE}})
    assert core.read_namespace(NAMESPACE).status.phase == "Active"


def typed_objects_live_and_die():
    made = core.create_namespaced_config_map(
        NAMESPACE, client.V1ConfigMap(metadata=client.V1ObjectMeta(name="one", labels={"l": "x"}), data={"a": "1"})
    )
    assert made.metadata.uid and made.metadata.resource_version
    assert core.read_namespaced_config_map("one", NAMESPACE).data == {"a": "1"}
    found = core.list_namespaced_config_map(NAMESPACE, label_selector="l=x", limit=1)
    assert [item.metadata.name for item in found.items] == ["one"]
    # A dict is sent as a strategic merge patch, a list as a JSON patch.
    assert core.patch_namespaced_config_map("one", NAMESPACE, {"data": {"b": "2"}}).data == {"a": "1", "b": "2"}
    patch = [{"op": "remove", "path": "/data/a"}]
    assert core.patch_namespaced_config_map("one", NAMESPACE, patch).data == {"b": "2"}
    made = core.read_namespaced_config_map("one", NAMESPACE)
    made.data["c"] = "3"
    core.replace_namespaced_config_map("one", NAMESPACE, made)
    assert refusal(core.replace_namespaced_config_map, "one", NAMESPACE, made).status == 409
    status = core.delete_namespaced_config_map("one", NAMESPACE)
    assert (status if isinstance(status, dict) else status.to_dict())["status"] == "Success", status
    assert refusal(core.read_namespaced_config_map, "one", NAMESPACE).status == 404


def a_watch_tells_what_happens():
    start = core.list_namespaced_config_map(NAMESPACE).metadata.resource_version
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "watched"}})
    core.patch_namespaced_config_map("watched", NAMESPACE, {"data": {"a": "1"}})
    core.delete_namespaced_config_map("watched", NAMESPACE)
    seen = []
    stream = watch.Watch().stream(
        core.list_namespaced_config_map, NAMESPACE, resource_version=start, timeout_seconds=20
    )
    for event in stream:
        if event["object"].metadata.name == "watched":
            seen.append(event["type"])
        if event["type"] == "DELETED":
            break
    assert seen == ["ADDED", "MODIFIED", "DELETED"], seen


def custom_objects_of_our_own():
    where = ("breakbulk.dev", "v1", NAMESPACE, "pipelines")
    pipeline = {
        "apiVersion": "breakbulk.dev/v1",
        "kind": "Pipeline",
        "metadata": {"name": "hello"},
        "spec": {"jobs": {"greet": {"run": "echo hello"}}},
    }
    custom.create_namespaced_custom_object(*where, pipeline)
    assert len(custom.list_namespaced_custom_object(*where)["items"]) == 1
    patched = custom.patch_namespaced_custom_object(*where, "hello", {"spec": {"description": "patched"}})
    assert patched["spec"]["description"] == "patched" and "greet" in patched["spec"]["jobs"]
    pipeline["spec"]["jobs"]["greet"] = {}
    pipeline["metadata"]["name"] = "wrong"
    refused = refusal(custom.create_namespaced_custom_object, *where, pipeline)
    assert refused.status == 422 and "spec.jobs.greet.run" in refused.body, refused.body
    custom.delete_namespaced_custom_object(*where, "hello")


def definitions_bring_kinds():
    definitions = client.ApiextensionsV1Api()
    schema = {"type": "object", "properties": {"spec": {"type": "object", "properties": {"size": {"type": "integer"}}}}}
    name = "snakes.python.example.com"
    definitions.create_custom_resource_definition(
        {
            "metadata": {"name": name},
            "spec": {
                "group": "python.example.com",
                "scope": "Namespaced",
                "names": {"plural": "snakes", "singular": "snake", "kind": "Snake"},
                "versions": [
                    {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}, "subresources": {"status": {}}}
                ],
            },
        }
    )

    def established():
        conditions = definitions.read_custom_resource_definition(name).status.conditions or []
        return any(c.type == "Established" and c.status == "True" for c in conditions)

    until("the definition is established", established)
    where = ("python.example.com", "v1", NAMESPACE, "snakes")
    snake = {"apiVersion": "python.example.com/v1", "kind": "Snake", "metadata": {"name": "cobra"}, "spec": {"size": 3}}
    until("it is served", lambda: custom.list_namespaced_custom_object(*where)["items"] == [])
    custom.create_namespaced_custom_object(*where, snake)
    custom.patch_namespaced_custom_object(*where, "cobra", {"spec": {"size": 4}})
    assert custom.get_namespaced_custom_object(*where, "cobra")["spec"]["size"] == 4
    refused = refusal(custom.patch_namespaced_custom_object, *where, "cobra", {"spec": {"size": "long"}})
    assert refused.status == 422, refused
    custom.delete_collection_namespaced_custom_object(*where)
    definitions.delete_custom_resource_definition(name)


def the_dynamic_client_finds_its_way():
    api = dynamic.DynamicClient(client.ApiClient())
    maps = api.resources.get(api_version="v1", kind="ConfigMap")
    maps.create(body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}}, namespace=NAMESPACE)
    assert maps.get(name="dynamic", namespace=NAMESPACE).metadata.name == "dynamic"
    maps.patch(
        body={"metadata": {"name": "dynamic"}, "data": {"a": "1"}},
        namespace=NAMESPACE,
        content_type="application/merge-patch+json",
    )
    pipelines = api.resources.get(api_version="breakbulk.dev/v1", kind="Pipeline")
    assert pipelines.get(namespace=NAMESPACE).items == []
    applied = maps.server_side_apply(
        body={"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "dynamic"}, "data": {"b": "2"}},
        namespace=NAMESPACE,
        field_manager="python",
    )
    assert dict(applied.data) == {"a": "1", "b": "2"}
    for event in maps.watch(namespace=NAMESPACE, name="dynamic", timeout=20):
        assert event["type"] == "ADDED"
        break
    maps.delete(name="dynamic", namespace=NAMESPACE)


def finalizers_as_kopf_sets_them():
    core.create_namespaced_config_map(NAMESPACE, {"metadata": {"name": "held"}})
    read = core.read_namespaced_config_map("held", NAMESPACE)
    patch = [
        {"op": "test", "path": "/metadata/resourceVersion", "value": read.metadata.resource_version},
        {"op": "add", "path": "/metadata/finalizers", "value": ["kopf.example.com/finalizer"]},
    ]
    core.patch_namespaced_config_map("held", NAMESPACE, patch)
    # The version has changed with it: a test that fails is 422, which kopf takes for "look again".
    assert refusal(core.patch_namespaced_config_map, "held", NAMESPACE, patch).status == 422
    deleted = core.delete_namespaced_config_map("held", NAMESPACE)
    assert (deleted if isinstance(deleted, dict) else deleted.to_dict())["metadata"]
    patch = [{"op": "remove", "path": "/metadata/finalizers/0"}]
    core.patch_namespaced_config_map("held", NAMESPACE, patch)
    assert refusal(core.read_namespaced_config_map, "held", NAMESPACE).status == 404


def slashes_and_missing_headers():
    assert client.VersionApi().get_code().major == "1"
    settings = client.Configuration.get_default_copy()
    pool = urllib3.PoolManager(ca_certs=settings.ssl_ca_cert, cert_file=settings.cert_file, key_file=settings.key_file)
    for path in ["/version/", "/api/", "/apis/"]:
        assert pool.request("GET", settings.host + path).status == 200, path
    body = b'{"metadata":{"name":"bare"},"data":{"a":"1"}}'
    url = f"{settings.host}/api/v1/namespaces/{NAMESPACE}/configmaps"
    answer = pool.request("POST", url, body=body)
    assert answer.status == 201, answer.data
    made = answer.json()
    assert made["kind"] == "ConfigMap" and made["apiVersion"] == "v1"
    core.delete_namespaced_config_map("bare", NAMESPACE)


def kr8s_works():
    import kr8s
    from kr8s.objects import ConfigMap, new_class

    api = kr8s.api(kubeconfig=os.environ["KUBECONFIG"])
    assert api.version()["major"] == "1"
    made = ConfigMap({"metadata": {"name": "kr", "namespace": NAMESPACE}, "data": {"a": "1"}}, api=api)
    made.create()
    assert made.exists()
    made.patch({"data": {"b": "2"}})
    made.label({"l": "x"})
    found = list(api.get("configmaps", namespace=NAMESPACE, label_selector="l=x"))
    assert [one.name for one in found] == ["kr"]
    assert dict(list(api.get("configmaps", "kr", namespace=NAMESPACE))[0].data) == {"a": "1", "b": "2"}
    Pipeline = new_class("Pipeline", version="breakbulk.dev/v1", namespaced=True, plural="pipelines")
    pipeline = Pipeline(
        {"metadata": {"name": "kr", "namespace": NAMESPACE}, "spec": {"jobs": {"greet": {"run": "echo"}}}}, api=api
    )
    pipeline.create()
    pipeline.patch({"spec": {"description": "by kr8s"}})
    pipeline.refresh()
    assert pipeline.raw["spec"]["description"] == "by kr8s"
    pipeline.delete()
    made.delete()
    until("it is gone", lambda: not made.exists())


for test in [
    namespaces,
    typed_objects_live_and_die,
    a_watch_tells_what_happens,
    custom_objects_of_our_own,
    definitions_bring_kinds,
    the_dynamic_client_finds_its_way,
    finalizers_as_kopf_sets_them,
    slashes_and_missing_headers,
    kr8s_works,
]:
    test()
    print(f"ok: {test.__name__}", flush=True)
