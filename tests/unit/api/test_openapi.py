from __future__ import annotations

import pytest


@pytest.fixture
def document(api):
    return api.client.get("/openapi.json", headers=api.headers()).json()


def operations(document):
    return [
        (f"{method} {path}", operation)
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    ]


def test_every_reference_leads_somewhere(document):
    def references(value):
        if isinstance(value, dict):
            yield from ([value["$ref"]] if "$ref" in value else [])
            for part in value.values():
                yield from references(part)
        elif isinstance(value, list):
            for part in value:
                yield from references(part)

    found = set(references(document))
    assert found
    for reference in found:
        at = document
        for name in reference.removeprefix("#/").split("/"):
            at = at[name]


def test_every_success_has_a_model_with_an_example(document):
    assert document["openapi"].startswith("3.1")
    for name, operation in operations(document):
        (status,) = [status for status in operation["responses"] if status < "300"]
        for media_type, content in operation["responses"][status]["content"].items():
            if media_type == "text/plain":
                assert content["example"], name
            else:
                model = document["components"]["schemas"][content["schema"]["$ref"].split("/")[-1]]
                assert model["examples"], name


def test_every_error_is_described_as_a_problem_document(document):
    for name, operation in operations(document):
        for status, response in operation["responses"].items():
            if status >= "400":
                assert list(response["content"]) == ["application/problem+json"], name
                schema = response["content"]["application/problem+json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/Problem"}, name


def test_the_routes_that_need_a_key_say_so(document):
    keyless = {name for name, operation in operations(document) if "security" not in operation}
    assert keyless == {"get /healthz", "get /readyz"}


def test_the_described_event_has_the_fields_that_are_decoded(document):
    from msgspec.structs import fields

    from streams.records import Event

    described = document["components"]["schemas"]["EventIn"]["properties"]
    assert set(described) == {field.name for field in fields(Event)}


def test_the_described_label_has_the_fields_that_are_decoded(document):
    from msgspec.structs import fields

    from streams.labels import Label

    described = document["components"]["schemas"]["LabelIn"]
    assert set(described["properties"]) == {field.name for field in fields(Label)}
    assert set(described["required"]) == {field.name for field in fields(Label) if field.required}


def test_the_examples_are_true(document):
    from api import label_schemas, problems, schemas

    rooms = (schemas, label_schemas, problems)
    checked = 0
    for name, model in document["components"]["schemas"].items():
        kind = next(getattr(room, name) for room in rooms if hasattr(room, name))
        for example in model.get("examples", []):
            kind.model_validate(example)
            checked += 1
    assert checked >= 8
