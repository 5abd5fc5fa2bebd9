"""SSD's loss of boxes and classes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from caffe.dialects.ssd.boxes import Code
from caffe.dialects.ssd.matching import NONE, Truths, match, mine
from caffe.dialects.ssd.predictions import check_predictions
from caffe.engine.catalogue import register
from caffe.engine.layer import Context, Operator, Shape, Tensors
from caffe.engine.layers.shared import Normalizer, as_floats, text
from caffe.errors import CheckError


@register("MultiBoxLoss")
class MultiBoxLossLayer(Operator):
    """Loss of offsets and class scores of priors that are matched to true boxes.

    ``(loc_weight * boxes + classes) / divisor``, sums over the priors that count.

    Options (``multibox_loss_param``)
        num_classes : int.
        share_location : bool, default true. One box a prior, for all classes.
        background_label_id : int, default 0.
        use_difficult_gt : bool, default true. Difficult boxes are true boxes, too.
        match_type, overlap_threshold, ignore_cross_boundary_bbox : see
            `caffe.dialects.ssd.matching.match`.
        use_prior_for_matching : bool, default true. Match the priors, not the boxes
            predicted from them.
        code_type, encode_variance_in_target : how offsets tell a box, see
            `caffe.dialects.ssd.boxes.Code`. Where they are in the target the loss is
            that of offsets over variances, but its gradient is not divided by them.
        bp_inside : bool, default false. Edges outside the image cost nothing.
        loc_loss_type : SMOOTH_L1 (default), ``d^2 / 2`` below 1 and ``|d| - 1/2``
            above; or L2, ``d^2 / 2``.
        conf_loss_type : SOFTMAX (default), or LOGISTIC: a cross entropy for each class.
        map_object_to_agnostic : bool, default false. All true boxes are of the class
            behind the background.
        mining_type : whose scores count. MAX_NEGATIVE (default): of matched priors, and
            ``neg_pos_ratio`` times as many others that overlap by less than
            ``neg_overlap``, those of the largest loss. HARD_EXAMPLE: the
            ``sample_size`` priors of the largest loss; matched ones that are not among
            them count as nothing. NONE: all.
        nms_param, use_prior_for_nms : drop priors near harder ones before choosing;
            without ``top_k`` all are dropped, as in SSD.
    loss_param.normalization
        VALID (default): divide by the matched priors, FULL: all priors, BATCH_SIZE:
        images, NONE: 1; at least 1.
    propagate_down
        false for bottom 0 or 1 also takes its part out of the loss.

    Bottoms
        0 : (N, 4 P L), offsets from the P priors, of L boxes each: one, or one for each
            class.
        1 : (N, P K), scores of the K classes, of each prior.
        2 : (1, 2, 4 P), priors and variances as PriorBox makes them.
        3 : (1, 1, G, 8), true boxes: image, label, instance, left, top, right, bottom,
            difficult; image -1: none.

    Tops
        0 : (), the loss.

    LOGISTIC starts from targets of ``background_label_id`` and, without mining, puts
    the 1 of image i where those of image ``i / K`` belong, as SSD does.
    """

    bottoms = (4, 4)
    loss = True
    differentiable_bottoms = (0, 1)

    def setup(self, param: Any, context: Context) -> None:
        """Read and check the options."""
        options = self.options = param.multibox_loss_param
        self.classes = int(options.num_classes)
        self.background = int(options.background_label_id)
        self.boxes_each = 1 if options.share_location else self.classes
        self.mined = options.mining_type != options.NONE
        self.logistic = options.conf_loss_type == options.LOGISTIC
        self.code = Code(options, bool(options.encode_variance_in_target))
        losses = param.loss_param
        self._normalizer = Normalizer(losses, losses.VALID)
        self._counts = (list(param.propagate_down) or [True] * 2)[:2]
        self._check(options)

    def _check(self, options: Any) -> None:
        if not self.classes:
            raise CheckError("num_classes is not given: expected 1 or more")
        if not self.logistic and self.background >= self.classes:
            raise CheckError(
                f"background_label_id is {self.background}: expected less than "
                f"num_classes {self.classes}, as conf_loss_type is SOFTMAX"
            )
        if options.HasField("do_neg_mining") and options.do_neg_mining != self.mined:
            raise CheckError(
                "do_neg_mining contradicts mining_type: expected mining_type only"
            )
        if self.mined and not options.share_location:
            raise CheckError(
                "share_location is false: expected mining_type NONE, or true"
            )
        agnostic = 2 if self.background < self.classes else 1
        if options.map_object_to_agnostic and self.classes != agnostic:
            raise CheckError(
                f"num_classes is {self.classes}: expected {agnostic}, as "
                "map_object_to_agnostic is true"
            )

    def shapes(self, bottom_shapes: Sequence[Shape]) -> list[Shape]:
        """Answer a number."""
        check_predictions(bottom_shapes, self.boxes_each, self.classes)
        truths = bottom_shapes[3]
        if not truths or truths[-1] != 8:
            raise CheckError(f"bottom 3 is {text(truths)}: expected (1, 1, G, 8)")
        return [()]

    def forward(self, bottoms: Tensors, params: Tensors, context: Context) -> Tensors:
        """Match, mine, and add up what counts."""
        images = len(bottoms[0])
        offsets = as_floats(bottoms[0]).reshape(images, -1, self.boxes_each, 4)
        scores = as_floats(bottoms[1]).reshape(images, -1, self.classes)
        priors = as_floats(bottoms[2].detach()).reshape(2, -1, 4)
        truths = Truths.read(
            bottoms[3].detach().reshape(-1, 8),
            difficult=self.options.use_difficult_gt,
            background=self.background,
        )
        with torch.no_grad():
            matched, most = self._match(offsets, priors, truths)
            self._check_labels(truths)
            chosen = None
            if self.mined:
                chosen = self._mine(matched, most, offsets, scores, priors, truths)
        losses = (
            self._boxes(offsets, priors, truths, matched) * self.options.loc_weight,
            self._scores(scores, truths, matched, chosen),
        )
        count = (matched > NONE).sum().to(scores)
        divisor = self._normalizer.divisor(count, scores.shape[:2])
        total = scores.new_zeros(())
        for loss, counts in zip(losses, self._counts, strict=True):
            total = total + loss / divisor if counts else total
        return [total]

    def _check_labels(self, truths: Truths) -> None:
        wrong = (truths.labels < 0) | (truths.labels >= self.classes)
        agnostic = self.options.map_object_to_agnostic and not self.mined
        if not agnostic and wrong.any():
            raise CheckError(
                f"a true box has label {int(truths.labels[wrong][0])}: expected 0 to "
                f"{self.classes - 1}, as num_classes says"
            )

    def _match(
        self, offsets: torch.Tensor, priors: torch.Tensor, truths: Truths
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """For (N, P, L) boxes which true box of the batch, and the largest overlaps."""
        images, count, each = offsets.shape[:3]
        matched = torch.full((images, count, each), NONE, device=offsets.device)
        most = offsets.new_zeros(images, count, each)
        for i in range(images):
            own = truths.of_image(i)
            if not len(own):
                continue
            if self.options.use_prior_for_matching:
                places, overlap = match(truths.boxes[own], priors[0], self.options)
                matched[i] = self._spread(_of_batch(places, own), truths)
                most[i] = overlap[:, None]
                continue
            for label in range(each):
                if each > 1 and label == self.background:
                    continue
                same = own if each == 1 else own[truths.labels[own] == label]
                boxes = self.code.decode(offsets[i, :, label], *priors)
                places, most[i, :, label] = match(
                    truths.boxes[same], boxes, self.options
                )
                matched[i, :, label] = _of_batch(places, same)
        return matched, most

    def _spread(self, matched: torch.Tensor, truths: Truths) -> torch.Tensor:
        """Give matches (P,) of priors to the box of the class in question (P, L)."""
        if self.boxes_each == 1:
            return matched[:, None]
        labels = torch.arange(self.boxes_each, device=matched.device)
        own = truths.labels[matched.clamp(min=0)][:, None] == labels
        return torch.where(own & (matched > NONE)[:, None], matched[:, None], NONE)

    def _mine(
        self,
        matched: torch.Tensor,
        most: torch.Tensor,
        offsets: torch.Tensor,
        scores: torch.Tensor,
        priors: torch.Tensor,
        truths: Truths,
    ) -> torch.Tensor:
        """Mask (N, P) of negatives; hard examples stay matched, others do not."""
        positive = matched[..., 0] > NONE
        labels = truths.labels[matched[positive][:, 0]]
        targets = torch.full(scores.shape[:2], self.background, device=scores.device)
        targets[positive] = labels
        losses = self._of_scores(scores.flatten(0, 1), targets.flatten())
        losses = losses.reshape(targets.shape)
        hard = self.options.mining_type == self.options.HARD_EXAMPLE
        if hard:
            losses[positive] += self._of_boxes(offsets, priors, truths, matched).sum(1)
        negative = torch.zeros_like(positive)
        for i in truths.images.unique().tolist():
            if not 0 <= i < len(scores):
                continue
            boxes = priors[0]
            if (
                self.options.HasField("nms_param")
                and not self.options.use_prior_for_nms
            ):
                boxes = self.code.decode(offsets[i, :, 0], *priors)
            chosen = mine(
                matched[i, :, 0], most[i, :, 0], losses[i], boxes, self.options
            )
            negative[i] = chosen & (matched[i, :, 0] == NONE)
            if hard:
                matched[i, positive[i] & ~chosen] = NONE
        return negative

    def _of_scores(self, scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Losses of (n, K) scores for ranking."""
        if not self.logistic:
            return functional.cross_entropy(scores, labels, reduction="none")
        classes = torch.arange(self.classes, device=labels.device)
        targets = (labels[:, None] == classes).to(scores)
        return _logistic(scores, targets).sum(1)

    def _of_boxes(
        self,
        offsets: torch.Tensor,
        priors: torch.Tensor,
        truths: Truths,
        matched: torch.Tensor,
    ) -> torch.Tensor:
        """Losses (M, 4) of the matched boxes' offsets."""
        image, place, label = (matched > NONE).nonzero(as_tuple=True)
        boxes, variances = priors[:, place]
        given = offsets[image, place, label]
        truth = truths.boxes[matched[image, place, label]]
        target = self.code.encode(truth, boxes, variances)
        if self.options.bp_inside:
            if not self.options.use_prior_for_matching:
                boxes = self.code.decode(given.detach(), boxes, variances)
            given = torch.where((boxes < 0) | (boxes > 1), target, given)
        if self.code.plain:
            # the gradient stays that of the undivided offsets
            given = given + (given / variances - given).detach()
            target = target / variances
        if self.options.loc_loss_type == self.options.L2:
            return (given - target).square() / 2
        return functional.smooth_l1_loss(given, target, reduction="none")

    def _boxes(
        self,
        offsets: torch.Tensor,
        priors: torch.Tensor,
        truths: Truths,
        matched: torch.Tensor,
    ) -> torch.Tensor:
        return self._of_boxes(offsets, priors, truths, matched).sum()

    def _scores(
        self,
        scores: torch.Tensor,
        truths: Truths,
        matched: torch.Tensor,
        negative: torch.Tensor | None,
    ) -> torch.Tensor:
        """Loss of the scores that count: all, or of positives and negatives."""
        targets = self._targets(scores, truths, matched)
        if negative is not None:
            counted = negative | (matched > NONE).any(2)
            if self.logistic and self.background < self.classes:
                targets[negative, self.background] = 1
            scores, targets = scores[counted], targets[counted]
        if self.logistic:
            return _logistic(scores, targets).sum()
        scores, targets = scores.reshape(-1, self.classes), targets.reshape(-1)
        return functional.cross_entropy(scores, targets, reduction="sum")

    def _targets(
        self, scores: torch.Tensor, truths: Truths, matched: torch.Tensor
    ) -> torch.Tensor:
        """Labels (N, P), or for LOGISTIC numbers (N, P, K)."""
        count, classes = scores.shape[1:]
        shape = scores.shape if self.logistic else scores.shape[:2]
        targets = torch.full(shape, self.background, device=scores.device)
        if self.logistic:
            targets = targets.to(scores)
        for own in matched.unbind(2):
            image, place = (own > NONE).nonzero(as_tuple=True)
            labels = truths.labels[own[image, place]]
            if self.options.map_object_to_agnostic:
                agnostic = self.background + 1 if self.background < classes else 0
                labels = torch.full_like(labels, agnostic)
            if not self.logistic:
                targets[image, place] = labels
                continue
            step = count * classes if self.mined else count
            targets.view(-1)[image * step + place * classes + labels] = 1
        return targets


def _of_batch(places: torch.Tensor, own: torch.Tensor) -> torch.Tensor:
    """Turn places among some true boxes into those in the batch; marks stay."""
    if not len(own):
        return places
    return torch.where(places > NONE, own[places.clamp(min=0)], places)


def _logistic(scores: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    """Cross entropies of the sigmoids of scores; targets may be any numbers."""
    return functional.softplus(scores) - scores * targets
