"""Typical wrong tries of exercise 14, as changes of the kept solution."""

from book.answers import Try

TRIES = [
    Try("no copies", {"value.numpy().copy()": "value.numpy()"}, "must copy them"),
    Try(
        "parameters only",
        {
            "run.model.state_dict().items()}": "run.model.named_parameters()}",
            "    run.model.load_state_dict(\n": "    run.model.load_state_dict(dict(run.model.state_dict()) | \n",
        },
        "running statistics are lost",
    ),
    Try(
        "forgets the velocities", {'arrays[f"optimizer.{index}.{name}"] = array.copy()': "pass"}, "momentum starts at 0"
    ),
    Try("forgets the schedule", {'    run.schedule.go_to(values["schedule"])\n': ""}, "the schedule stands at step 0"),
    Try("forgets the stream", {'    run.random.bit_generator.state = values["random"]\n': ""}, "the stream of batches"),
    Try("the generator itself", {"run.random.bit_generator.state,": "run.random,"}, "JSON cannot hold"),
    Try(
        "writes in place",
        {'temporary = Path(f"{path}.partial")': "temporary = Path(path)", "    os.replace(temporary, path)\n": ""},
        "in place",
    ),
    Try(
        "removes the old file first",
        {"    os.replace(temporary": "    os.remove(path)\n    os.replace(temporary"},
        "removes the old content",
    ),
    Try(
        "renames too early",
        {"        file.flush()\n        os.fsync(file.fileno())\n    os.replace": "        os.replace"},
        "before all of it is written",
    ),
    Try("does not wait for the disk", {"        os.fsync(file.fileno())\n": ""}, "os.fsync(file.fileno())"),
    Try(
        "a temporary file elsewhere",
        {'temporary = Path(f"{path}.partial")': 'temporary = Path(__file__).with_suffix(".partial")'},
        "in another folder",
    ),
    Try("one result", {"    return arrays, values": "    return arrays"}, "must return two dictionaries"),
    Try(
        "sets the schedule's count only",
        {
            'run.schedule.go_to(values["schedule"])': 'run.schedule.steps = values["schedule"]',
            '"state": state})': '"state": state, "groups": run.optimizer.state_dict()["groups"]})',
        },
        "the learning rate is",
    ),
    Try("counts two velocities", {"PREDICTION = 57": "PREDICTION = 114"}, "one velocity"),
]
