"""Ids: UUIDv7 inside, a prefix and hexadecimal digits outside."""

from typing import Annotated
from uuid import UUID

import pytest
from pydantic import BaseModel, TypeAdapter, ValidationError

from fluxprint_common.ids import Prefixed, new_id, show

ThingId = Annotated[UUID, Prefixed("thing")]


class Thing(BaseModel):
    id: ThingId


class TestNew:
    def test_is_a_uuid_of_version_7_sorted_by_time(self) -> None:
        made = [new_id() for _ in range(1000)]
        assert {(one.version, one.variant) for one in made} == {(7, "specified in RFC 4122")}
        assert made == sorted(made)
        assert len(set(made)) == 1000


class TestPrefixed:
    def test_goes_out_and_comes_back(self) -> None:
        one = new_id()
        text = Thing(id=one).model_dump_json()
        assert text == f'{{"id":"thing_{one.hex}"}}'
        assert Thing.model_validate_json(text).id == one

    @pytest.mark.parametrize(
        "value",
        [
            "", "thing_", "thing", "0193a5c8f2d07c4e8b1f6a2d3c4b5a69", "other_0193a5c8f2d07c4e8b1f6a2d3c4b5a69",
            "thing_0193A5C8F2D07C4E8B1F6A2D3C4B5A69", "thing_0193a5c8-f2d0-7c4e-8b1f-6a2d3c4b5a69",
            "thing_0193a5c8f2d07c4e8b1f6a2d3c4b5a6", "thing_0193a5c8f2d07c4e8b1f6a2d3c4b5a690",
            "thing_0193a5c8f2d07c4eZb1f6a2d3c4b5a69", "thing_0193a5c8f2d07c4e8b1f6a2d3c4b5a6\u0669",
            "thing_0193a5c8f2d07c4e8b1f6a2d3c4b5a6 ", " thing_0193a5c8f2d07c4e8b1f6a2d3c4b5a69",
            "thing_0x93a5c8f2d07c4e8b1f6a2d3c4b5a69", "thing__193a5c8f2d07c4e8b1f6a2d3c4b5a69",
            7, None, ["thing_"], True,
        ],
    )  # fmt: skip
    def test_refuses_every_other_shape(self, value: object) -> None:
        with pytest.raises(ValidationError):
            Thing.model_validate({"id": value})

    def test_the_document_gives_the_pattern_that_is_checked(self) -> None:
        schema = TypeAdapter(ThingId).json_schema()
        assert schema["pattern"] == "^thing_[0-9a-f]{32}$"
        assert schema["maxLength"] == len(show("thing", new_id()))
