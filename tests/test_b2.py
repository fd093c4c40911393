"""The stand-in of Backblaze B2, through the real client of S3."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Callable, Iterator
from typing import Any

import botocore.session
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from tests.clouds.b2 import B2
from tests.clouds.s3 import KEY, SECRET

QUIET: dict[str, Any] = {
    "request_checksum_calculation": "when_required",
    "response_checksum_validation": "when_required",
}


@pytest.fixture(scope="module")
def client_of() -> Callable[..., Any]:
    session = botocore.session.get_session()

    def made(service: B2, key: str = KEY, **options: Any) -> Any:
        return session.create_client(
            "s3",
            region_name="eu-central-003",
            endpoint_url=service.url,
            aws_access_key_id=key,
            aws_secret_access_key=SECRET,
            config=Config(s3={"addressing_style": "path"}, retries={"total_max_attempts": 1}, **(options or QUIET)),
        )

    return made


@pytest.fixture
def b2() -> Iterator[B2]:
    with B2("audio") as service:
        yield service


@pytest.fixture
def s3(b2: B2, client_of) -> Any:
    return client_of(b2)


def refused(error: pytest.ExceptionInfo[ClientError]) -> tuple[int, str, str]:
    said = error.value.response
    return said["ResponseMetadata"]["HTTPStatusCode"], said["Error"]["Code"], said["Error"]["Message"]


def contents(b2: B2, key: str) -> list[bytes]:
    return [made.content for made in b2.versions("audio", key)]


def test_a_second_put_is_a_second_version_and_a_delete_hides_the_newest(b2: B2, s3):
    first = s3.put_object(Bucket="audio", Key="a/é.ogg", Body=b"1")["VersionId"]
    second = s3.put_object(Bucket="audio", Key="a/é.ogg", Body=b"2")["VersionId"]
    assert (contents(b2, "a/é.ogg"), first == second) == ([b"1", b"2"], False)
    assert s3.get_object(Bucket="audio", Key="a/é.ogg")["VersionId"] == second
    assert s3.get_object(Bucket="audio", Key="a/é.ogg", VersionId=first)["Body"].read() == b"1"

    assert s3.delete_object(Bucket="audio", Key="a/é.ogg")["DeleteMarker"]
    with pytest.raises(ClientError) as gone:
        s3.head_object(Bucket="audio", Key="a/é.ogg")
    assert refused(gone)[0] == 404
    assert contents(b2, "a/é.ogg") == [b"1", b"2"]
    assert [each["VersionId"] for each in s3.list_object_versions(Bucket="audio", Prefix="a/")["Versions"]] == [
        second,
        first,
    ]
    for version in (first, second):
        s3.delete_object(Bucket="audio", Key="a/é.ogg", VersionId=version)
    assert contents(b2, "a/é.ogg") == []
    assert "Versions" not in s3.list_object_versions(Bucket="audio")


def test_without_its_newest_version_the_one_before_is_there_again(b2: B2, s3):
    versions = [s3.put_object(Bucket="audio", Key="k", Body=body)["VersionId"] for body in (b"1", b"2")]
    s3.delete_object(Bucket="audio", Key="k", VersionId=versions[1])
    assert s3.get_object(Bucket="audio", Key="k")["Body"].read() == b"1"
    with pytest.raises(ClientError, match="NoSuchVersion"):
        s3.get_object(Bucket="audio", Key="k", VersionId=versions[1])


def test_metadata_and_type_are_kept(s3):
    s3.put_object(
        Bucket="audio", Key="k", Body=b"1", ContentType="audio/ogg", Metadata={"sha256": "ab", "source-id": "7"}
    )
    found = s3.head_object(Bucket="audio", Key="k")
    assert (found["Metadata"], found["ContentType"], found["ContentLength"]) == (
        {"sha256": "ab", "source-id": "7"}, "audio/ogg", 1,
    )  # fmt: skip
    s3.copy_object(Bucket="audio", Key="copy", CopySource="audio/k")
    assert s3.head_object(Bucket="audio", Key="copy")["Metadata"] == found["Metadata"]


def test_parts_keep_what_their_beginning_said_and_what_is_aborted_leaves_nothing(b2: B2, s3):
    begun = s3.create_multipart_upload(Bucket="audio", Key="k", ContentType="audio/ogg", Metadata={"sha256": "ab"})
    where = {"Bucket": "audio", "Key": "k", "UploadId": begun["UploadId"]}
    tags = [s3.upload_part(**where, PartNumber=n, Body=bytes(5 * 2**20))["ETag"] for n in (1, 2)]
    parts = [{"PartNumber": n, "ETag": tag} for n, tag in enumerate(tags, 1)]
    assert b2.unfinished == 1
    s3.complete_multipart_upload(**where, MultipartUpload={"Parts": parts})
    found = s3.head_object(Bucket="audio", Key="k")
    assert (found["ContentLength"], found["ContentType"], found["Metadata"]) == (
        10 * 2**20,
        "audio/ogg",
        {"sha256": "ab"},
    )
    assert found["ETag"].endswith('-2"')

    left = s3.create_multipart_upload(Bucket="audio", Key="other")["UploadId"]
    s3.abort_multipart_upload(Bucket="audio", Key="other", UploadId=left)
    assert (b2.unfinished, contents(b2, "other")) == (0, [])


def test_checksums_of_the_sdk_are_refused(b2: B2, client_of):
    loud = client_of(b2, request_checksum_calculation="when_supported")
    with pytest.raises(ClientError) as error:
        loud.put_object(Bucket="audio", Key="k", Body=b"1")
    assert refused(error)[:2] == (400, "InvalidArgument")
    assert refused(error)[2].startswith("Unsupported header 'x-amz-")
    with pytest.raises(ClientError, match="x-amz-checksum-mode"):
        loud.get_object(Bucket="audio", Key="k")
    assert contents(b2, "k") == []


@pytest.mark.parametrize("condition", [{"IfNoneMatch": "*"}, {"IfMatch": '"x"'}])
def test_conditions_are_not_implemented(b2: B2, s3, condition):
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="audio", Key="k", Body=b"1", **condition)
    assert refused(error)[:2] == (501, "NotImplemented")
    assert contents(b2, "k") == []


def test_a_bucket_with_object_lock_wants_content_md5(client_of):
    with B2("audio", object_lock=True) as b2:
        s3 = client_of(b2)
        with pytest.raises(ClientError) as error:
            s3.put_object(Bucket="audio", Key="k", Body=b"1")
        assert refused(error)[:2] == (400, "InvalidRequest")
        md5 = base64.b64encode(hashlib.md5(b"1").digest()).decode()
        s3.put_object(Bucket="audio", Key="k", Body=b"1", ContentMD5=md5)
        with pytest.raises(ClientError, match="BadDigest"):
            s3.put_object(Bucket="audio", Key="k", Body=b"2", ContentMD5=md5)
        assert contents(b2, "k") == [b"1"]


@pytest.mark.parametrize("name", ["x" * 1025, "a\x1fb", "a\x7fb"])
def test_names_have_limits(s3, name):
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="audio", Key=name, Body=b"1")
    assert refused(error)[:2] == (400, "InvalidArgument")
    s3.put_object(Bucket="audio", Key="é" * 512, Body=b"1")


@pytest.mark.parametrize(
    ("strike", "status", "code", "message", "retry_after"),
    [
        (lambda b2: b2.slow_down(), 503, "SlowDown", "Please reduce your request rate.", None),
        (lambda b2: b2.slow_down(retry_after="3"), 503, "SlowDown", "Please reduce your request rate.", "3"),
        (lambda b2: b2.no_tomes(), 503, "ServiceUnavailable", "no tomes available", None),
        (lambda b2: b2.internal_error(), 500, "InternalError", "Please retry your upload", None),
        (lambda b2: b2.exceed("storage", times=1), 403, "AccessDenied", "storage cap exceeded", None),
        (lambda b2: b2.exceed("transaction", times=1), 403, "AccessDenied", "Transaction cap exceeded", None),
    ],
)
def test_weather_and_caps(b2: B2, s3, strike, status, code, message, retry_after):
    strike(b2)
    with pytest.raises(ClientError) as error:
        s3.put_object(Bucket="audio", Key="k", Body=b"1")
    assert refused(error)[:2] == (status, code)
    assert message in refused(error)[2]
    assert error.value.response["ResponseMetadata"]["HTTPHeaders"].get("retry-after") == retry_after
    s3.put_object(Bucket="audio", Key="k", Body=b"1")
    assert contents(b2, "k") == [b"1"]


def test_a_cap_holds_until_it_is_lifted(b2: B2, s3):
    b2.exceed("download", "^(GET|HEAD)")
    s3.put_object(Bucket="audio", Key="k", Body=b"1")
    for _ in range(3):
        with pytest.raises(ClientError, match="download bandwidth or transaction"):
            s3.get_object(Bucket="audio", Key="k")
    b2.heal()
    assert s3.get_object(Bucket="audio", Key="k")["Body"].read() == b"1"


def test_calls_are_counted_by_price_class(b2: B2, s3):
    s3.put_object(Bucket="audio", Key="k", Body=b"1")
    s3.head_object(Bucket="audio", Key="k")
    s3.get_object(Bucket="audio", Key="k")
    s3.list_objects_v2(Bucket="audio", Prefix="k")
    s3.list_object_versions(Bucket="audio")
    s3.head_bucket(Bucket="audio")
    s3.create_multipart_upload(Bucket="audio", Key="k")
    s3.delete_object(Bucket="audio", Key="k")
    assert b2.calls == {"A": 3, "B": 2, "C": 3}
    assert b2.count(r"^PUT /audio/k") == 1


def test_another_key_and_a_changed_body_are_refused(b2: B2, client_of):
    with pytest.raises(ClientError, match="InvalidAccessKeyId"):
        client_of(b2, key="other").put_object(Bucket="audio", Key="k", Body=b"1")
    s3 = client_of(b2)
    s3.meta.events.register("before-send.s3.PutObject", lambda request, **_: setattr(request, "body", b"2"))
    with pytest.raises(ClientError, match=r"XAmzContentSHA256Mismatch"):
        s3.put_object(Bucket="audio", Key="k", Body=b"1")
    assert contents(b2, "k") == []
