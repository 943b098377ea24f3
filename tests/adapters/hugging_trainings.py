"""Small trainings with a TorchLoader in Hugging Face's Trainer, which note each batch."""

from __future__ import annotations

import torch
import transformers

from seqloader.adapters.transformers import with_loader


class Model(torch.nn.Module):
    """Notes what it was trained with; raises in place of batch number `fails_at`."""

    def __init__(self, fails_at=None, error=KeyError):
        super().__init__()
        self.linear = torch.nn.Linear(2, 1)
        self.fails_at, self.error = fails_at, error
        self.seen, self.evaluated = [], []

    def forward(self, x, labels=None):
        place = tuple(int(number) for number in x[0])
        if not self.training:
            self.evaluated.append(place)
        elif len(self.seen) == self.fails_at:
            raise self.error
        else:
            self.seen.append(place)
        out = self.linear(x / 100)
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}


def trainer_of(train, folder, *, model=None, callbacks=None, eval_dataset=None, **options):
    """A Trainer of 3 epochs that saves a checkpoint after each step."""
    defaults = {"num_train_epochs": 3, "save_strategy": "steps", "save_steps": 1}
    arguments = transformers.TrainingArguments(
        str(folder),
        report_to=[],
        use_cpu=True,
        disable_tqdm=True,
        logging_strategy="no",
        **{**defaults, **options},
    )
    trainer = transformers.Trainer(
        model or Model(), arguments, callbacks=callbacks, eval_dataset=eval_dataset
    )
    trainer.pop_callback(transformers.PrinterCallback)
    return with_loader(trainer, train)


def checkpoints(folder):
    """{global step: path}."""
    return {int(path.name.split("-")[1]): path for path in folder.glob("checkpoint-*")}
