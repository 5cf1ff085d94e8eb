"""What a planted aggregator can do wrong: rules that help, rules that harm, and how failing looks in its text."""

from __future__ import annotations

from langgraph_truce.testing.planted.topics import Topic

AGGREGATING = (
    Topic(
        "following",
        "",
        (
            "Carry on the option that most agents gave.",
            "Let the majority of the agents decide which option stands.",
            "Name the option with the most agents behind it.",
        ),
        ("most|majority", "agent|option"),
        "Carry on the option that the fewest agents gave, crowds err.",
        ("fewest|least|smallest", "agent|option"),
        (
            "I kept what the smallest group holds",
            "the option with the smallest following was carried on",
        ),
        "The option with the largest following was carried on.",
    ),
    Topic(
        "agreement",
        "",
        (
            "Keep what the agents agree on.",
            "Hold on to the answer on which agents agree.",
            "Retain every point of agreement among the agents.",
        ),
        ("keep|hold|retain|carry", "agree"),
        "Question what agents have in common and bring up the outsider's option instead.",
        ("question|doubt|mistrust", "common|shared"),
        (
            "I set aside what the agents have in common",
            "the outsider's option replaced the common one",
        ),
        "What the agents agree on was kept.",
    ),
    Topic(
        "reasons",
        "",
        (
            "Weigh the reasons that agents give for an option.",
            "Compare the reasons behind the options before one of them stands.",
            "Decide between options by the reasons given for them.",
        ),
        ("weigh|compare|decide|judge", "reason"),
        "Prefer the surprising option, it holds more news.",
        ("surpris|unusual|unexpected", "option|answer"),
        (
            "I went for the option that nobody would have expected",
            "the more surprising option was preferred to the one with reasons",
        ),
        "The reasons for the options were weighed.",
    ),
    Topic(
        "summary",
        "",
        (
            "Write down every option that has an agent behind it.",
            "List each option that agents gave, with its supporters.",
            "Name all options that agents support in the summary.",
        ),
        ("write|list|name", "every|each|all", "option"),
        "Cut the summary down to one remark at the edge of the discussion.",
        ("cut|reduce|shorten", "one remark|single remark|one point"),
        (
            "I cut the discussion down to the remark at its edge",
            "the summary left out the main line of the discussion",
        ),
        "The options and their supporters were written down.",
    ),
)
"""Ways to lose the right option. All act alike: what fewest agents gave is carried on, and the rest is dropped."""

IDLE_ROLE_RULES = (
    "Begin with the letter of your option.",
    "Answer in English.",
    "Give a reason in one or two sentences.",
    "Be polite to the other agents.",
    "Keep to the question you were given.",
    "Read the summary of the last round, if there is one.",
)
"""Rules of roles that neither help nor harm."""

IDLE_AGGREGATOR_RULES = (
    "Begin with the letter of the option that stands.",
    "Write one short paragraph.",
    "Use a sober tone.",
    "Say which round is over.",
    "Leave out greetings.",
)
"""Rules of aggregators that neither help nor harm."""

GENERAL_RULES = (
    "Think about the problem before you answer.",
    "Make sure that your text is easy to read.",
    "Say how sure you are.",
    "Point out what is still unclear.",
    "Use the terms of the question.",
    "Stay on the point.",
)
"""What a model that is asked for a rule suggests where it has found nothing; changes nothing."""
