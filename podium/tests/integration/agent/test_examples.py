"""The examples, each in a real process, across a restart and a crash."""

from pathlib import Path

from podium.protocol.delta import apply
from podium.protocol.messages import StreamUpdate
from tests.support.coordinator_double import running_agent

EXAMPLES = Path(__file__).parents[4] / "examples"


async def test_counter_counts_and_streams(tmp_path: Path) -> None:
    async with running_agent(EXAMPLES / "counter", tmp_path / "w", "counter:Counter") as agent:
        await agent.init()
        assert await agent.coordinator.ask("hello") == "You have sent 1 messages."
        assert await agent.coordinator.ask("hello") == "You have sent 2 messages."
        assert len(agent.coordinator.of(StreamUpdate)) == 6


async def test_notes_keeps_rows_state_and_files(tmp_path: Path) -> None:
    lesson = [
        ("add buy oats", "Noted as number 1."),
        ("ADD Water plants\nsoon", "Noted as number 2."),
        ("add", "What shall I note? Say: add TEXT"),
        ("done 1", "Done: 1. 1 of 2 notes are finished."),
        ("done 1", "There is no open note 1."),
        ("done x", "There is no open note x."),
        (f"done {2**70}", f"There is no open note {2**70}."),
        ("list", "1. buy oats (done)\n2. Water plants\nsoon"),
        ("find WATER", "2. Water plants\nsoon"),
        ("find 100%", "No note has “100%”."),
        ("what?", "I keep notes. Say: add TEXT, list, find WORD, done N, or export."),
    ]
    async with running_agent(EXAMPLES / "notes", tmp_path / "w", "notes.agent:NotesAgent") as agent:
        await agent.init(config={"title": "Mine"})
        document = None
        for number, (text, answer) in enumerate(lesson, 1):
            assert await agent.coordinator.ask(text) == answer
            document = apply(document, agent.coordinator.deltas_of(f"m{number}"))
        assert document == {"_version": 1, "added": 2, "finished": 1, "last": "what?"}
        assert await agent.shut_down() == 0
    async with running_agent(EXAMPLES / "notes", tmp_path / "w", "notes.agent:NotesAgent") as agent:
        await agent.init(config={"title": "Mine"}, state=document)
        assert await agent.coordinator.ask("list") == "1. buy oats (done)\n2. Water plants\nsoon"
        await agent.coordinator.ask("export")
        assert (agent.workspace / "notes.md").read_text() == "# Mine\n\n- [x] buy oats\n- [ ] Water plants\nsoon\n"
