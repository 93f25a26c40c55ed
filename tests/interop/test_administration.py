"""What administrators ask: the same requests go to Apache Kafka and to us, and both say the same.

Compared is the whole answer but for texts, ids, addresses, times and sizes. Lists are compared
without their order, which in Kafka is that of hash tables. Cases run in the order of the table, for
what one has set another asks for.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mq.wire.fields import Request, Struct
from mq.wire.messages.add_raft_voter import AddRaftVoterRequest, Listener
from mq.wire.messages.alter_client_quotas import (
    AlterClientQuotasRequest,
    EntityData,
    OpData,
    RequestEntryData,
)
from mq.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from mq.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDir,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirTopic,
)
from mq.wire.messages.alter_user_scram_credentials import (
    AlterUserScramCredentialsRequest,
    ScramCredentialDeletion,
    ScramCredentialUpsertion,
)
from mq.wire.messages.create_acls import AclCreation, CreateAclsRequest
from mq.wire.messages.create_delegation_token import CreateDelegationTokenRequest
from mq.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from mq.wire.messages.delete_acls import DeleteAclsFilter, DeleteAclsRequest
from mq.wire.messages.describe_acls import DescribeAclsRequest
from mq.wire.messages.describe_client_quotas import ComponentData, DescribeClientQuotasRequest
from mq.wire.messages.describe_delegation_token import DescribeDelegationTokenRequest
from mq.wire.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from mq.wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    TopicRequest,
)
from mq.wire.messages.describe_user_scram_credentials import (
    DescribeUserScramCredentialsRequest,
    UserName,
)
from mq.wire.messages.elect_leaders import ElectLeadersRequest, TopicPartitions
from mq.wire.messages.expire_delegation_token import ExpireDelegationTokenRequest
from mq.wire.messages.list_config_resources import ListConfigResourcesRequest
from mq.wire.messages.list_partition_reassignments import ListPartitionReassignmentsRequest
from mq.wire.messages.remove_raft_voter import RemoveRaftVoterRequest
from mq.wire.messages.renew_delegation_token import RenewDelegationTokenRequest
from mq.wire.messages.unregister_broker import UnregisterBrokerRequest
from mq.wire.messages.update_features import FeatureUpdateKey, UpdateFeaturesRequest
from tools.apache_kafka import ApacheKafka
from tools.mq_broker import MqBroker

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("kafka")]

Ask = Callable[[str, Request, int], Any]

DEADLINE_S = 30.0
VOLATILE = {"error_message", "topic_id", "log_dir", "total_bytes", "usable_bytes"}
SOMEONE = uuid.UUID(int=5)
ADDRESS = "127.9.9.9"  # not ours: Kafka holds us to what it is told
BIG = 1e30


def topics(*names: str, limit: int = 2000, cursor: Cursor | None = None) -> Request:
    return DescribeTopicPartitionsRequest([TopicRequest(name) for name in names], limit, cursor)


def elect(kind: int, topic: str, *indexes: int) -> Request:
    return ElectLeadersRequest(kind, [TopicPartitions(topic, list(indexes))], 5000)


def move(topic: str, index: int, replicas: list[int] | None) -> Request:
    wanted = [ReassignableTopic(topic, [ReassignablePartition(index, replicas)])]
    return AlterPartitionReassignmentsRequest(5000, topics=wanted)


def feature(name: str, level: int, way: int = 1) -> Request:
    return UpdateFeaturesRequest(5000, [FeatureUpdateKey(name, level, upgrade_type=way)])


def quota(entity: dict[str, str | None], *values: tuple[str, float]) -> Request:
    parts = [EntityData(kind, name) for kind, name in entity.items()]
    changes = [OpData(key, value, value == 0) for key, value in values]
    return AlterClientQuotasRequest([RequestEntryData(parts, changes)])


def quotas(*parts: tuple[str, int, str | None], strict: bool = False) -> Request:
    return DescribeClientQuotasRequest([ComponentData(*part) for part in parts], strict)


def scram(*changes: ScramCredentialDeletion | ScramCredentialUpsertion) -> Request:
    return AlterUserScramCredentialsRequest(
        [change for change in changes if isinstance(change, ScramCredentialDeletion)],
        [change for change in changes if isinstance(change, ScramCredentialUpsertion)],
    )


def put(user: str, mechanism: int = 1, iterations: int = 4096) -> ScramCredentialUpsertion:
    return ScramCredentialUpsertion(user, mechanism, iterations, b"salt", bytes(32))


drop = ScramCredentialDeletion

CASES: dict[str, tuple[Request, int]] = {
    "log dirs of one partition": (
        DescribeLogDirsRequest([DescribableLogDirTopic("adm-t", [0, 7])]),
        5,
    ),
    "log dirs of nothing": (DescribeLogDirsRequest([]), 4),
    "log dirs of what is not there": (
        DescribeLogDirsRequest([DescribableLogDirTopic("adm-none", [0])]),
        5,
    ),
    "a directory that is not there": (
        AlterReplicaLogDirsRequest(
            [AlterReplicaLogDir("/none", [AlterReplicaLogDirTopic("adm-t", [0])])]
        ),
        2,
    ),
    "topics, known and not": (topics("adm-t", "adm-none", "a/b", "adm-t"), 0),
    "two partitions of a page": (topics("adm-t", "adm-u", limit=2), 0),
    "a page that ends with a topic": (topics("adm-t", "adm-u", limit=3), 0),
    "no room": (topics("adm-t", limit=0), 0),
    "the next page": (topics("adm-t", "adm-u", cursor=Cursor("adm-t", 2)), 0),
    "a cursor beyond a topic": (topics("adm-t", cursor=Cursor("adm-t", 9)), 0),
    "a cursor before partitions": (topics("adm-t", cursor=Cursor("adm-t", -1)), 0),
    "brokers with settings": (ListConfigResourcesRequest([4]), 1),
    "groups with settings": (ListConfigResourcesRequest([32]), 1),
    "client metrics": (ListConfigResourcesRequest(), 0),
    "what no resource is": (ListConfigResourcesRequest([99]), 1),
    "an election": (elect(0, "adm-t", 0, 9), 2),
    "an unclean election": (elect(1, "adm-t", 0), 2),
    "an election without a kind": (elect(0, "adm-t", 0), 0),
    "an election of no kind": (elect(9, "adm-t", 0), 2),
    "an election nowhere": (elect(0, "adm-none", 0), 2),
    "a move to here": (move("adm-t", 0, [1]), 1),
    "a move to a stranger": (move("adm-t", 0, [2]), 1),
    "a move to two": (move("adm-t", 0, [1, 2]), 1),
    "a move twice to here": (move("adm-t", 0, [1, 1]), 1),
    "a move to nobody": (move("adm-t", 0, []), 1),
    "the end of a move": (move("adm-t", 0, None), 1),
    "a move of no partition": (move("adm-t", 9, [1]), 0),
    "a move of no topic": (move("adm-none", 0, None), 0),
    "moves under way": (ListPartitionReassignmentsRequest(), 0),
    "the level there is": (feature("group.version", 1), 1),
    "the level there is, in version 2": (feature("group.version", 1), 2),
    "a higher level": (feature("group.version", 9), 1),
    "a lower level": (feature("group.version", 0), 1),
    "a level below all": (feature("group.version", -1), 1),
    "a feature that is none": (feature("no.such", 1), 1),
    "a way to upgrade that is none": (feature("group.version", 1, 9), 1),
    "no feature": (UpdateFeaturesRequest(5000, []), 1),
    "a broker that is not there": (UnregisterBrokerRequest(9), 0),
    "one more voter": (
        AddRaftVoterRequest(None, 1000, 2, SOMEONE, [Listener("CONTROLLER", ADDRESS, 9)]),
        1,
    ),
    "one voter fewer": (RemoveRaftVoterRequest(None, 2, SOMEONE), 0),
    "a voter of another cluster": (RemoveRaftVoterRequest("other", 2, SOMEONE), 0),
    "a quota": (quota({"user": "bob"}, ("consumer_byte_rate", 9.0)), 1),
    "a quota of two": (quota({"user": "bob", "client-id": None}, ("request_percentage", 1.5)), 1),
    "a quota of an address": (quota({"ip": ADDRESS}, ("connection_creation_rate", 2.0)), 1),
    "a quota of no address": (quota({"ip": "no address"}, ("connection_creation_rate", 2.0)), 1),
    "a quota of too much": (
        quota({"ip": ADDRESS, "user": "u"}, ("request_percentage", 1.0)),
        1,
    ),
    "a quota of nobody": (quota({}, ("consumer_byte_rate", 1.0)), 1),
    "a quota of what is none": (quota({"group": "g"}, ("consumer_byte_rate", 1.0)), 1),
    "a quota without a name": (quota({"user": ""}, ("consumer_byte_rate", 1.0)), 1),
    "a key that is none": (quota({"user": "u"}, ("no_such", 1.0)), 1),
    "a key for addresses": (quota({"user": "u"}, ("connection_creation_rate", 1.0)), 1),
    "a key for users": (quota({"ip": ADDRESS}, ("consumer_byte_rate", 1.0)), 1),
    "a negative rate": (quota({"user": "u"}, ("consumer_byte_rate", -1.0)), 1),
    "half a byte": (quota({"user": "u"}, ("consumer_byte_rate", 2.5)), 1),
    "too high a rate": (quota({"user": "u"}, ("consumer_byte_rate", BIG)), 1),
    "a quota taken away that was not there": (quota({"user": "u"}, ("no_such", 0)), 1),
    "all quotas": (quotas(), 1),
    "quotas of bob": (quotas(("user", 0, "bob")), 1),
    "quotas of bob alone": (quotas(("user", 0, "bob"), strict=True), 1),
    "quotas of any user": (quotas(("user", 2, None)), 1),
    "quotas of the default client": (quotas(("client-id", 1, None)), 0),
    "quotas of a name that is missing": (quotas(("user", 0, None)), 1),
    "quotas of a name too much": (quotas(("user", 1, "bob")), 1),
    "quotas of no match": (quotas(("user", 7, "bob")), 1),
    "quotas of what is none": (quotas(("group", 0, "g")), 1),
    "quotas of two users": (quotas(("user", 0, "a"), ("user", 0, "b")), 1),
    "quotas of user and address": (quotas(("user", 0, "a"), ("ip", 0, ADDRESS)), 1),
    "credentials": (scram(put("ann"), put("bob", 2, 8192), put("eve")), 0),
    "a credential taken away": (scram(drop("eve", 1)), 0),
    "a credential that was not there": (scram(drop("zoe", 1)), 0),
    "a credential of nobody": (scram(put("")), 0),
    "a mechanism that is none": (scram(put("zoe", 9), drop("yan", 9)), 0),
    "too few iterations": (scram(put("zoe", 1, 4095)), 0),
    "too many iterations": (scram(put("zoe", 1, 16385)), 0),
    "a user twice": (scram(put("zoe"), put("zoe", 2)), 0),
    "a user removed and put": (scram(drop("ann", 1), put("ann", 2)), 0),
    "all credentials": (DescribeUserScramCredentialsRequest(None), 0),
    "credentials of some": (
        DescribeUserScramCredentialsRequest([UserName(name) for name in ("ann", "zoe")]),
        0,
    ),
    "credentials of one, twice": (DescribeUserScramCredentialsRequest([UserName("ann")] * 2), 0),
    "rules": (DescribeAclsRequest(1, None, 1, None, None, 1, 1), 3),
    "a rule": (CreateAclsRequest([AclCreation(2, "t", 3, "User:a", "*", 3, 3)] * 2), 3),
    "a rule taken away": (DeleteAclsRequest([DeleteAclsFilter(1, None, 1, None, None, 1, 1)]), 3),
    "a token": (CreateDelegationTokenRequest(None, None, [], -1), 3),
    "a token renewed": (RenewDelegationTokenRequest(b"x", 1000), 2),
    "a token expired": (ExpireDelegationTokenRequest(b"x", 1000), 2),
    "tokens": (DescribeDelegationTokenRequest(None), 3),
}


def outline(value: Any) -> Any:
    """An answer without what differs from broker to broker, and without order."""
    if isinstance(value, Struct):
        fields = {name: getattr(value, name) for name in value.__struct_fields__}
        return {name: outline(field) for name, field in fields.items() if name not in VOLATILE}
    if isinstance(value, list):
        return sorted((outline(item) for item in value), key=repr)
    return value


@pytest.fixture(scope="module")
def brokers(
    kafka: ApacheKafka, ask: Ask, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[str, str]]:
    """The addresses of Apache Kafka and of us, both with the topics of the table."""
    wanted = [CreatableTopic("adm-t", 3, 1), CreatableTopic("adm-u", 1, 1)]
    with MqBroker.start(tmp_path_factory.mktemp("administration"), durability="os") as broker:
        for address in (kafka.bootstrap, broker.bootstrap):
            created = ask(address, CreateTopicsRequest(wanted, 5000), 7).topics
            assert [topic.error_code for topic in created] == [0, 0]
        yield kafka.bootstrap, broker.bootstrap


@pytest.mark.parametrize("name", CASES)
def test_both_say_the_same(name: str, brokers: tuple[str, str], ask: Ask) -> None:
    request, version = CASES[name]
    theirs, ours = brokers
    said = outline(ask(ours, request, version))
    deadline = time.monotonic() + DEADLINE_S
    while (told := outline(ask(theirs, request, version))) != said:
        # Kafka's broker hears of what its controller has granted a moment later.
        assert type(request).__name__.startswith("Describe"), (told, said)
        assert time.monotonic() < deadline, (told, said)
