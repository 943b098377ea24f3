"""A small training with Accelerate, whatever its loader."""

from __future__ import annotations

import torch


def train(accelerator, loader, epochs=2):
    """Which steps were synchronised, and the weights at the end."""
    torch.manual_seed(0)
    model = torch.nn.Linear(1, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model, optimizer, loader = accelerator.prepare(model, optimizer, loader)
    synchronised = []
    for _ in range(epochs):
        for x, y in loader:
            with accelerator.accumulate(model):
                accelerator.backward((model(x) - y).square().mean())
                optimizer.step()
                optimizer.zero_grad()
                synchronised.append(accelerator.sync_gradients)
    return synchronised, [weight.tolist() for weight in model.parameters()]
